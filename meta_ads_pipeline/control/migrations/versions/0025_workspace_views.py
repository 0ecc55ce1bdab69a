"""control: dead letters, alerts and runs of one workspace, for the HTTP service."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"

STATEMENTS = """
alter table control.dead_letters
    add column workspace_id uuid references control.workspaces on delete cascade;
comment on column control.dead_letters.workspace_id is
    'Of what came in over HTTP; null: the workspace of the ad account.';

create view control.workspace_dead_letters as
select
    coalesce(d.workspace_id, a.workspace_id) as workspace_id,
    d.dead_letter_id,
    d.account_id,
    d.asset,
    d.partition_date,
    d.object_id,
    d.field,
    d.reason,
    d.document::text as document,
    d.source_call,
    d.status,
    d.attempts,
    d.first_seen_at,
    d.last_seen_at,
    d.resolved_at,
    d.resolution
from control.dead_letters as d
left join control.ad_accounts as a on d.account_id = a.account_id;
comment on view control.workspace_dead_letters is 'Dead letters with the workspace they belong to.';

create view control.workspace_alerts as
select
    coalesce(
        a.workspace_id,
        w.workspace_id,
        -- What is about the whole installation is everybody's business where there is one tenant.
        case
            when s.account_id is null and s.workspace is null
                then (select min(o.workspace_id::text)::uuid from control.workspaces as o
                      having count(*) = 1)
        end
    ) as workspace_id,
    s.account_id,
    t.alert_id,
    t.kind,
    t.subject,
    t.severity,
    t.stage,
    t.message,
    t.what_to_do,
    t.times_raised,
    t.first_raised_at,
    t.last_raised_at,
    t.resolved_at
from control.alerts as t
cross join lateral (
    select
        substring(t.subject from '^(?:ad )?account (?:act_)?([0-9]+)') as account_id,
        substring(t.subject from '^connection ([^/]+)/') as workspace
) as s
left join control.ad_accounts as a on s.account_id = a.account_id
left join control.workspaces as w on s.workspace = w.name;
comment on view control.workspace_alerts is
    'Alerts with the workspace they are about, by the ad account or connection of their subject.';

create view control.workspace_connections as
select
    c.workspace_id,
    c.connection_id,
    c.name,
    c.status,
    c.status_reason,
    c.token_type,
    c.scopes,
    c.expires_at,
    c.data_access_expires_at,
    c.last_validated_at,
    c.token_ciphertext is null as is_from_environment,
    array(
        select a.account_id from control.ad_accounts as a
        where a.connection_id = c.connection_id and a.is_active order by a.account_id
    ) as account_ids
from control.connections as c;
comment on view control.workspace_connections is
    'Connections and the ad accounts that are synced with them; nothing of their tokens.';

-- Functions, because Dagster makes its tables after this, and alters them without asking views.
create function control.workspace_runs()
returns table (
    run_id text, sync_id text, job text, status text, started_by text, start_date date,
    end_date date, account_ids text[], is_own boolean, queued_at timestamptz,
    started_at timestamptz, finished_at timestamptz
)
language plpgsql stable security definer set search_path = pg_catalog as $$
declare
    workspace uuid := nullif(current_setting('meta_ads.workspace_id', true), '')::uuid;
    own text[] := array(
        select a.account_id from control.ad_accounts as a
        where a.workspace_id = workspace order by a.account_id
    );
    is_alone boolean := not exists (
        select from control.ad_accounts as a where a.workspace_id <> workspace and a.is_active
    );
begin
    if workspace is null or to_regclass('dagster.runs') is null then
        return;
    end if;
    return query
    select r.run_id::text, coalesce(t.tags ->> 'meta_ads/sync_id', r.run_id)::text,
        r.pipeline_name::text, r.status::text,
        coalesce(
            t.tags ->> 'meta_ads/requested_by', t.tags ->> 'dagster/schedule_name',
            t.tags ->> 'dagster/sensor_name',
            case
                when t.tags ? 'dagster/backfill' then 'backfill'
                when t.tags ? '.dagster/grpc_info' then 'Dagster UI'
                else 'meta-ads'
            end
        ),
        coalesce(t.tags ->> 'dagster/asset_partition_range_start', t.tags ->> 'dagster/partition')
            ::date,
        coalesce(t.tags ->> 'dagster/asset_partition_range_end', t.tags ->> 'dagster/partition')
            ::date,
        case when n.named is null then own
            else array(select unnest(n.named) intersect select unnest(own) order by 1) end,
        case when t.tags ? 'meta_ads/workspace' then true
            when n.named is null then is_alone else n.named <@ own end,
        r.create_timestamp at time zone 'UTC', to_timestamp(r.start_time), to_timestamp(r.end_time)
    from dagster.runs as r
    cross join lateral (
        select coalesce(jsonb_object_agg(k.key, k.value), '{}') as tags
        from dagster.run_tags as k where k.run_id = r.run_id
    ) as t
    cross join lateral (
        select string_to_array(nullif(t.tags ->> 'meta_ads/accounts', ''), ',') as named
    ) as n
    where r.pipeline_name not in ('credentials', 'retention')
        and case when t.tags ? 'meta_ads/workspace'
            then t.tags ->> 'meta_ads/workspace' = workspace::text
            else n.named is null or n.named && own end;
end $$;
revoke execute on function control.workspace_runs() from public;
comment on function control.workspace_runs is
    'Dagster''s runs that read ad accounts of the workspace in the setting meta_ads.workspace_id, '
    'with only those accounts. is_own: they read no other workspace''s.';

create function control.run_steps(of_run text)
returns table (step text, status text)
language plpgsql stable security definer set search_path = pg_catalog as $$
begin
    if not exists (select from control.workspace_runs() as r where r.run_id = of_run) then
        return;
    end if;
    return query
    select e.step_key::text,
        case
            when bool_or(e.dagster_event_type = 'STEP_FAILURE') then 'failed'
            when bool_or(e.dagster_event_type = 'STEP_SUCCESS') then 'done'
            when bool_or(e.dagster_event_type = 'STEP_SKIPPED') then 'skipped'
            else 'running'
        end
    from dagster.event_logs as e
    where e.run_id = of_run and e.step_key is not null
        and e.dagster_event_type in
            ('STEP_START', 'STEP_SUCCESS', 'STEP_FAILURE', 'STEP_SKIPPED')
    group by e.step_key order by min(e.id);
end $$;
revoke execute on function control.run_steps(text) from public;
comment on function control.run_steps is 'How far the steps of a run of this workspace have come.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

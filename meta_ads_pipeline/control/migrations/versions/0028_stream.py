"""control: events for those who watch: marts that were built, anomalies, slices that landed."""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"

STATEMENTS = """
create sequence control.stream_event_ids;
create table control.stream_events (
    entry bigint generated always as identity primary key,
    event_id bigint unique,
    workspace_id uuid not null references control.workspaces on delete cascade,
    kind text not null check (kind in ('last_updated', 'anomaly', 'sync')),
    data jsonb not null,
    created_at timestamptz not null default now()
);
create index stream_events_workspace on control.stream_events (workspace_id, event_id);
comment on table control.stream_events is 'What the HTTP service streams to those who watch.';
comment on column control.stream_events.event_id is
    'Given at commit, under a lock: whoever has seen a number has missed no lower one.';

create function control.number_stream_event() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtext('meta-ads stream'));
    update control.stream_events set event_id = nextval('control.stream_event_ids')
    where entry = new.entry;
    perform pg_notify('meta_ads_stream', '');
    return null;
end $$;
create constraint trigger numbered_at_commit
after insert on control.stream_events deferrable initially deferred
for each row execute function control.number_stream_event();

create function control.tell_of_slices() returns trigger language plpgsql as $$
begin
    insert into control.stream_events (workspace_id, kind, data)
    select a.workspace_id, 'sync', jsonb_build_object(
        'run_id', l.run_id, 'account_id', l.account_id, 'asset', l.asset,
        'start', min(l.partition_date), 'end', max(l.partition_date), 'slices', count(*),
        'rows_changed', sum(l.rows_inserted + l.rows_updated + l.rows_deleted)
    )
    from loaded as l join control.ad_accounts as a on a.account_id = l.account_id
    group by a.workspace_id, l.run_id, l.account_id, l.asset;
    return null;
end $$;
create trigger told after insert on control.slice_loads
referencing new table as loaded for each statement execute function control.tell_of_slices();

-- dbt makes the table that this is a trigger of: see its macro create_model_changes.
create function control.tell_of_build() returns trigger language plpgsql as $$
begin
    -- Rows that are the same were not touched: those of this transaction are what has changed.
    if new.model = 'account_daily' then
        insert into control.stream_events (workspace_id, kind, data)
        select workspace_id, 'last_updated', jsonb_build_object(
            'at', now(), 'account_days', (jsonb_agg(jsonb_build_object(
                'provider', provider, 'account_id', account_id, 'date', event_date
            ) order by event_date desc) filter (where place <= 200)), 'changed', count(*)
        )
        from (
            select d.workspace_id, d.provider, d.account_id, d.event_date,
                row_number() over (partition by d.workspace_id order by d.event_date desc) as place
            from marts.account_daily as d
            where d.event_date >= coalesce(new.window_start, '-infinity')
                and d.event_date < coalesce(new.window_end, 'infinity')
                and d.xmin = pg_current_xact_id()::xid
        ) as changed
        group by workspace_id;
    elsif new.model = 'anomalies' then
        insert into control.stream_events (workspace_id, kind, data)
        select d.workspace_id, 'anomaly', jsonb_build_object(
            'anomaly_key', d.anomaly_key, 'account_id', d.account_id, 'date', d.event_date,
            'severity', d.severity, 'status', d.status, 'sentence', d.sentence
        )
        from marts.anomalies as d
        where d.xmin = pg_current_xact_id()::xid
        order by d.event_date desc
        limit 200;
    end if;
    return null;
end $$;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

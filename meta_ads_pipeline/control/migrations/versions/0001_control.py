"""control: tenants, connections, ad accounts, slices and their audit, dead letters."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = """
create table control.workspaces (
    workspace_id uuid primary key default gen_random_uuid(),
    name text not null unique,
    display_timezone text not null default 'UTC',
    created_at timestamptz not null default now()
);
comment on table control.workspaces is 'A tenant.';
insert into control.workspaces (workspace_id, name)
values ('00000000-0000-0000-0000-000000000001', 'default');

create table control.connections (
    connection_id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references control.workspaces,
    name text not null,
    app_id text,
    token_ciphertext bytea,
    token_type text,
    scopes text[] not null default '{}',
    issued_at timestamptz,
    expires_at timestamptz,
    data_access_expires_at timestamptz,
    last_validated_at timestamptz,
    status text not null default 'active'
        check (status in ('active', 'expiring', 'expired', 'revoked', 'missing_scope')),
    status_reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (workspace_id, name)
);
comment on table control.connections is 'A workspace''s Meta credentials, tokens encrypted.';
comment on column control.connections.token_ciphertext is
    'Fernet ciphertext; null for the connection that META_ACCESS_TOKEN makes.';
comment on column control.connections.expires_at is 'Null: never.';

create table control.ad_accounts (
    account_id text primary key,
    workspace_id uuid not null references control.workspaces,
    connection_id uuid references control.connections,
    name text,
    currency text not null,
    timezone text not null,
    account_status smallint,
    is_active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table control.ad_accounts is 'The ad accounts that are synced, without act_.';
comment on column control.ad_accounts.is_active is 'False: known, but not synced.';

create table control.syncs (
    sync_id uuid primary key default gen_random_uuid(),
    scope text not null,
    start_date date not null,
    end_date date not null,
    status text not null default 'running' check (status in ('running', 'done', 'failed')),
    started_at timestamptz not null default now(),
    finished_at timestamptz
);
create unique index syncs_one_unfinished on control.syncs (scope) where status <> 'done';
comment on table control.syncs is
    'What was asked for. The same request made again while unfinished resumes the first.';

create table control.slices (
    account_id text not null,
    partition_date date not null,
    asset text not null,
    status text not null
        check (status in ('running', 'done', 'failed', 'parked', 'mismatched')),
    sync_id text,
    run_id text,
    attempts integer not null default 0,
    rows_fetched integer,
    rows_inserted integer,
    rows_updated integer,
    rows_deleted integer,
    rows_unchanged integer,
    rows_dead_lettered integer,
    api_calls integer,
    pulled_at timestamptz,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    error_kind text,
    error_message text,
    next_attempt_at timestamptz,
    primary key (account_id, partition_date, asset)
);
create index slices_open on control.slices (status) where status <> 'done';
comment on table control.slices is
    'The current state of every (account, date, asset): the unit fetched, replaced and resumed.';

create table control.slice_loads (
    load_id bigint generated always as identity primary key,
    account_id text not null,
    partition_date date not null,
    asset text not null,
    sync_id text,
    run_id text,
    rows_fetched integer not null,
    rows_inserted integer not null,
    rows_updated integer not null,
    rows_deleted integer not null,
    rows_unchanged integer not null,
    rows_dead_lettered integer not null,
    pulled_at timestamptz not null,
    loaded_at timestamptz not null default now()
);
create index slice_loads_slice on control.slice_loads (account_id, partition_date, asset);
comment on table control.slice_loads is 'One row for each time a slice was replaced: the audit.';

create table control.dead_letters (
    dead_letter_id bigint generated always as identity primary key,
    fingerprint text not null unique,
    account_id text not null,
    asset text not null,
    partition_date date,
    object_id text,
    field text,
    reason text not null,
    document jsonb not null,
    source_call text,
    status text not null default 'open' check (status in ('open', 'replayed', 'discarded')),
    attempts integer not null default 1,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    resolved_at timestamptz,
    resolution text
);
create index dead_letters_open on control.dead_letters (account_id, asset) where status = 'open';
comment on table control.dead_letters is 'What could not be used, whole, with the reason.';
comment on column control.dead_letters.resolution is
    'How it ended: what the replay did, or why it was discarded.';

create schema if not exists partitions;
comment on schema partitions is 'Monthly children of the date-partitioned tables.';

create function control.ensure_month_partitions(parent regclass, first_date date, last_date date)
returns void language plpgsql as $$
declare
    month date := date_trunc('month', first_date);
    child text;
begin
    while month <= last_date loop
        child := format('%s_%s',
            replace(replace(parent::text, '"', ''), '.', '_'), to_char(month, 'YYYYMM'));
        if not exists (select from pg_class
                where relname = child and relnamespace = 'partitions'::regnamespace) then
            -- Two loaders may want the same new month: the lock makes one wait, then see it.
            perform pg_advisory_xact_lock(hashtext('month-partition'), hashtext(child));
            if not exists (select from pg_class
                    where relname = child and relnamespace = 'partitions'::regnamespace) then
                -- Attaching, unlike "create table ... partition of", lets readers and writers of
                -- the parent go on.
                execute format(
                    'create table partitions.%I (like %s including all)', child, parent);
                execute format(
                    'alter table %s attach partition partitions.%I'
                    ' for values from (%L) to (%L)',
                    parent, child, month, (month + interval '1 month')::date);
            end if;
        end if;
        month := (month + interval '1 month')::date;
    end loop;
end $$;
comment on function control.ensure_month_partitions is
    'Creates the missing monthly children of a table partitioned by event_date.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

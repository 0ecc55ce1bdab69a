"""control: who asked for a pull, how long it took, under which versions, and pulls that failed."""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"

STATEMENTS = """
alter table control.slice_loads
    add column started_at timestamptz,
    add column api_calls integer,
    add column requested_by text,
    add column api_version text,
    add column code_version text;
comment on column control.slice_loads.started_at is 'When the slice was begun; null: unknown.';
comment on column control.slice_loads.requested_by is
    'The schedule, sensor, backfill or command that asked; null: before this was kept.';

create table control.slice_failures (
    failure_id bigint generated always as identity primary key,
    account_id text not null,
    partition_date date not null,
    asset text not null,
    status text not null check (status in ('failed', 'parked')),
    error_kind text not null,
    error_message text not null,
    sync_id text,
    run_id text,
    requested_by text,
    api_version text,
    code_version text,
    started_at timestamptz,
    failed_at timestamptz not null default clock_timestamp()
);
create index slice_failures_slice on control.slice_failures (account_id, partition_date, asset);
comment on table control.slice_failures is
    'One row for each time a slice could not be pulled: the audit beside control.slice_loads.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

"""control: what each check found, per account and day."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = """
create table control.check_results (
    account_id text not null,
    event_date date,
    asset text not null,
    check_name text not null,
    status text not null check (status in ('passed', 'warned', 'failed')),
    severity text not null check (severity in ('block', 'warn', 'inform')),
    violations bigint not null default 0,
    observed text,
    expected text,
    message text,
    run_id text not null,
    first_failed_at timestamptz,
    last_failed_at timestamptz,
    last_checked_at timestamptz not null,
    times_failed integer not null default 0,
    -- Entities have no date: one row for each account then.
    unique nulls not distinct (account_id, event_date, asset, check_name)
) with (fillfactor = 80);
create index check_results_open on control.check_results (account_id, event_date)
where status <> 'passed';
comment on table control.check_results is
    'The latest result of every check for every account and date that it looked at. No row: never '
    'checked.';
comment on column control.check_results.asset is 'What was checked, e.g. raw/insights_hourly.';
comment on column control.check_results.status is
    'warned: suspicious, but Meta may do it; failed: the rule is broken.';
comment on column control.check_results.severity is
    'What failing means: block holds the account-day out of the facts, warn and inform do not.';
comment on column control.check_results.violations is 'Rows or measures that break the rule.';
comment on column control.check_results.first_failed_at is
    'Since when it has not passed; null while it passes.';
comment on column control.check_results.last_failed_at is
    'When it was last seen not to pass; kept once it passes again.';
comment on column control.check_results.times_failed is
    'Runs in a row that saw it not pass; 0 while it passes.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

"""control: the call budget that all processes share, what was spent of it, started reports."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
create table control.call_budgets (
    app text not null,
    account_id text not null default '',
    use_case text not null default '',
    percent double precision,
    span_seconds double precision,
    read_at timestamptz,
    tier text,
    blocked_since timestamptz,
    blocked_until timestamptz,
    refused_at timestamptz,
    block_code integer,
    times_blocked integer not null default 0,
    regain_seconds double precision,
    last_probe_at timestamptz,
    probe_until timestamptz,
    last_call_at timestamptz,
    is_warned boolean not null default false,
    updated_at timestamptz not null,
    primary key (app, account_id, use_case)
);
comment on table control.call_budgets is
    'How much of each of Meta''s limits is used up, and what is blocked, as last heard of.';
comment on column control.call_budgets.app is
    'The app id; the connection''s name where that is not known, or the limit is its own.';
comment on column control.call_budgets.account_id is 'Empty: a limit of the app.';
comment on column control.call_budgets.use_case is 'Empty: a limit of all calls.';
comment on column control.call_budgets.percent is 'Used up, 0 to 100 and beyond, at read_at.';
comment on column control.call_budgets.span_seconds is
    'Without further calls the limit is free again so long after read_at.';
comment on column control.call_budgets.refused_at is
    'The latest refusal; what was under way before it is no news.';
comment on column control.call_budgets.regain_seconds is
    'Meta''s last hint how long a block lasts; our own guess where it gave none.';
comment on column control.call_budgets.probe_until is
    'Until then one process has the right to try whether a block is over.';
comment on column control.call_budgets.last_call_at is
    'The last call that was spaced: the next one keeps its distance from it.';

create table control.call_counts (
    connection text not null,
    minute timestamptz not null,
    account_id text not null default '',
    use_case text not null,
    calls integer not null,
    wasted integer not null,
    primary key (connection, minute, account_id, use_case)
);
create index call_counts_minute on control.call_counts (minute);
comment on table control.call_counts is
    'Calls as Meta counts them (batch members), per minute; wasted: they ended in an error.';

create table control.report_runs (
    job_key text primary key,
    run_id text not null,
    created_at timestamptz not null
);
comment on table control.report_runs is
    'Insights reports that were started and not read yet, so that a restart reads them.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

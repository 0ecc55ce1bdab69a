"""control: what the adaptive refresh decided."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = """
create table control.refresh_decisions (
    decision_id bigint generated always as identity primary key,
    pass_id uuid not null,
    decided_at timestamptz not null,
    account_id text not null,
    partition_date date not null,
    last_pulled_at timestamptz not null,
    expected_change double precision not null,
    expected_measure text,
    expected_calls double precision not null,
    is_chosen boolean not null,
    reason text not null,
    calls integer not null default 0,
    found_at timestamptz,
    found_change double precision,
    found_measure text
);
create unique index refresh_decisions_slice
    on control.refresh_decisions (pass_id, account_id, partition_date);
create index refresh_decisions_open
    on control.refresh_decisions (account_id, partition_date) where found_at is null;
create index refresh_decisions_decided_at on control.refresh_decisions (decided_at);
comment on table control.refresh_decisions is
    'Which past days the adaptive refresh looked at again and why, and what was found later.';
comment on column control.refresh_decisions.pass_id is
    'One evaluation of all accounts and days; the sync id of the run that it asked for.';
comment on column control.refresh_decisions.expected_change is
    'Since the last pull, of the measure expected to change most; 1 is a usual day of it.';
comment on column control.refresh_decisions.expected_calls is
    'What reading the day on top of the days chosen before it was expected to cost.';
comment on column control.refresh_decisions.calls is
    'What reading it did cost: days, account totals and hours.';
comment on column control.refresh_decisions.found_at is
    'The first pull after the decision, whoever made it.';
comment on column control.refresh_decisions.found_change is
    'What that pull found changed, counted as expected_change.';
"""


def upgrade() -> None:
    if STATEMENTS.strip():
        op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

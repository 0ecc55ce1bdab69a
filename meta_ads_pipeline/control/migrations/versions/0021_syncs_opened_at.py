"""control: when a sync was asked for, also of those that begin before everything."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"

STATEMENTS = """
alter table control.syncs add column opened_at timestamptz not null default now();
update control.syncs set opened_at = started_at where started_at <> 'epoch';
comment on column control.syncs.opened_at is
    'When it was first asked for; started_at of a sync that fills gaps is the epoch.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

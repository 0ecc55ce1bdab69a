"""control: ad accounts that cannot be read: since when, why, and when they are asked for again."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = """
create table control.unreadable_accounts (
    account_id text primary key,
    since timestamptz not null,
    reason text not null,
    tries integer not null default 1,
    next_try_at timestamptz,
    is_stopped boolean not null default false
);
comment on table control.unreadable_accounts is
    'Ad accounts that are to be synced and that no connection reads. Not in control.ad_accounts '
    'where they never were read.';
comment on column control.unreadable_accounts.next_try_at is
    'When it is asked for again; null: gone, not any more until a list of Meta shows it.';
comment on column control.unreadable_accounts.is_stopped is
    'An operator stopped it; of an account that control.ad_accounts does not have.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

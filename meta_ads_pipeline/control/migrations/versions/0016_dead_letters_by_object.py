"""control: dead letters know their pull's timezone and currency, and are closed by a good pull."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

STATEMENTS = """
alter table control.dead_letters add column timezone text, add column currency text;
alter table control.dead_letters drop constraint dead_letters_status_check;
alter table control.dead_letters add constraint dead_letters_status_check
    check (status in ('open', 'replayed', 'discarded', 'resolved'));
comment on column control.dead_letters.timezone is
    'The account''s when the row was pulled: a replay lands it under this one. Null: not a row of'
    ' insights, or kept before this was recorded.';
comment on column control.dead_letters.currency is 'As timezone.';
comment on column control.dead_letters.status is
    'resolved: a later pull of the same slice had no such item, or had it in order.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

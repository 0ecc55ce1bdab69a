"""control: slices held by a session, whatever their number; dates that Meta no longer keeps."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

STATEMENTS = """
create table control.slice_locks (
    holder integer primary key,
    account_id text not null,
    asset text not null,
    dates date[] not null,
    taken_at timestamptz not null default clock_timestamp()
);
create index on control.slice_locks (account_id, asset);
comment on table control.slice_locks is
    'Slices that a run works on; counts while its session holds the advisory lock of the number.';

alter table control.slices drop constraint slices_status_check;
alter table control.slices add constraint slices_status_check
    check (status in ('running', 'done', 'failed', 'parked', 'mismatched', 'not_kept'));
comment on column control.slices.status is
    'not_kept: never landed, and older than what Meta keeps; it is not asked for.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

"""control: what the marts of each date were built from."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"

STATEMENTS = """
create table control.built_dates (
    event_date date primary key,
    inputs text not null,
    outputs text not null,
    built_at timestamptz not null default clock_timestamp()
);
comment on table control.built_dates is
    'Digests of what the marts of a date were built from and of what the build left.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

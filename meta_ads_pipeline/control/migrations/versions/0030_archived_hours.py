"""control: months of hourly insights that are in a Parquet file, no longer in the database."""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"

STATEMENTS = """
create table control.archived_hours (
    month date primary key check (month = date_trunc('month', month)),
    file text not null,
    sha256 text not null,
    bytes bigint not null,
    row_count bigint not null,
    slices jsonb not null,
    archived_at timestamptz not null default now(),
    restored_at timestamptz,
    marts_built_at timestamptz
);
comment on table control.archived_hours is
    'Months of raw.insights_hourly that were moved to Parquet files.';
comment on column control.archived_hours.file is 'Name below META_ADS_HOME/archive.';
comment on column control.archived_hours.slices is
    'When each account-date had been pulled, for the way back.';
comment on column control.archived_hours.restored_at is
    'When the month was brought back; such a month is left alone until it is named.';
comment on column control.archived_hours.marts_built_at is
    'When the marts were built after the last move; null: they are still to be.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

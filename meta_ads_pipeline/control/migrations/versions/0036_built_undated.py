"""control.built_dates: what has no date, as the build of a date left it."""

from __future__ import annotations

from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.execute("alter table control.built_dates add column undated text")
    op.execute(
        "comment on column control.built_dates.undated is"
        " 'Digests of entities and dimensions: as read before the build, as left by it.'"
    )

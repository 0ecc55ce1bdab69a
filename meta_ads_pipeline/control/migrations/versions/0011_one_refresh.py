"""control: the decisions of the adaptive refresh, which is no more."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("drop table control.refresh_decisions")

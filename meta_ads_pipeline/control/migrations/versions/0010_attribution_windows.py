"""control: the attribution windows that a slice was pulled with."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = """
alter table control.slices add column attribution_windows text[];
comment on column control.slices.attribution_windows is
    'Windows that the landed pull asked for, such as 7d_click. Meta leaves a window of 0 out: asked'
    ' and absent is 0, not asked is unknown. Null: pulled before this was recorded.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

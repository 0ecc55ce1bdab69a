"""marts.metric_facts: find the facts by the day that have delivery, of which there are few."""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"

STATEMENTS = """
-- A breakdown by the hour says whether there are any.
create index metric_facts_days_with_delivery on marts.metric_facts (event_date)
where grain = 'day' and num_nonnulls(spend, impressions, clicks, link_clicks) > 0;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

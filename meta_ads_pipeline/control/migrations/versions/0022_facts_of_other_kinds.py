"""marts.metric_facts: find the facts that hours and entities of Meta do not cover."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"

STATEMENTS = """
-- A question to a rollup asks for the few facts that the rollup has no row for.
create index metric_facts_minutes on marts.metric_facts (event_date) where grain = 'minute';
create index metric_facts_without_entity on marts.metric_facts (event_date)
where campaign_id is null or adset_id is null or ad_id is null;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

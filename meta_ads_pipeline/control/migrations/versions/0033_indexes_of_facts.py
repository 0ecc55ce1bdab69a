"""marts.metric_facts: an object of any level by its id, a workspace by the date."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"

STATEMENTS = """
-- No query asked by the instant alone: dates are the account's own.
drop index marts.metric_facts_event_at_idx;
create index idx_metric_facts_entity_date on marts.metric_facts (entity_id, event_date);
create index idx_metric_facts_workspace_date on marts.metric_facts (workspace_id, event_date);
alter index marts.metric_facts_account_id_event_date_idx rename to idx_metric_facts_account_date;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

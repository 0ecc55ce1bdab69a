"""raw.ingested_days_built: what the facts were read from, apart from what all marts hold."""

from __future__ import annotations

from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.execute("alter table raw.ingested_days_built add column version_read bigint")
    op.execute("alter table raw.ingested_days_built alter column version drop not null")
    op.execute(
        "comment on table raw.ingested_days_built is"
        " 'Per account-day of posted facts, how far a build has come with it.'"
    )
    op.execute(
        "comment on column raw.ingested_days_built.version_read is"
        " 'The version that was noted before metric_facts was last built: what is posted meanwhile"
        " is another one.'"
    )
    op.execute(
        "comment on column raw.ingested_days_built.version is"
        " 'The version that facts and rollups hold; null before the first whole build.'"
    )

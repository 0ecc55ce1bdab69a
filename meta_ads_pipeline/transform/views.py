"""Views and seeds are schema, not data: they are built when the dbt project changed, not per run.

Which version of the project they were built from is a comment on the schema ``staging``: whoever
drops the schema drops the claim with it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from psycopg import sql

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.project import project_digest

logger = logging.getLogger(__name__)

VIEWS_AND_SEEDS = "config.materialized:view resource_type:seed"
"""dbt's selection of what holds no data of its own."""

TABLES = "config.materialized:incremental"
"""dbt's selection of the rest. Not an exclusion of the above: that would drop the tests that read
both."""

_NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")


def ensure_views(dbt: DbtCli, database: Database, window: Sequence[str]) -> bool:
    """Build views and seeds if the project is not the one they were built from.

    Tables that views read are built first, for the run's dates: dbt's event-time arguments.
    Returns whether they were built. Raises dagster-dbt's error when dbt fails.
    """
    claim = f"built from dbt project {project_digest()}"
    with database.connect() as connection:
        row = connection.execute(
            "select obj_description(to_regnamespace('staging')) as claim"
        ).fetchone()
    if row is not None and row["claim"] == claim:
        return False
    logger.info("the dbt project changed: building its views and seeds")
    selection = f"+{VIEWS_AND_SEEDS}"  # a view may read a table
    with dbt.running(["build", "--select", selection, *window, *_NO_TESTS]) as build:
        build.wait()
    with database.connect() as connection:
        connection.execute(sql.SQL("comment on schema staging is {}").format(sql.Literal(claim)))
    return True

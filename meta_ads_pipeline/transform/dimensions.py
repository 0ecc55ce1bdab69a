"""The dimensions built at once, without a run: whoever waits for a webhook waits for no queue.

A run's process takes ten seconds to start on a quiet machine and a minute on a busy one; dbt alone
takes a few.
"""

from __future__ import annotations

import threading

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.history import window_arguments
from meta_ads_pipeline.transform.relations import relations_to_build
from meta_ads_pipeline.windows import DateWindow

DIMENSIONS = (
    *("dim_ad_accounts", "dim_campaigns", "dim_adsets", "dim_ads", "dim_creatives"),
    *("entities", "entity_history"),
)
"""Models of the schema ``marts`` that entities alone make."""

MOST_SECONDS = 40.0
"""Of one build. Dagster ends a sensor's tick after sixty."""


def build_dimensions_now(dbt: DbtCli, database: Database, window: DateWindow) -> bool:
    """Build the dimensions for the window's dates; whether they are built.

    They are not when a run is writing the marts, when views have to be built first, or when it
    takes too long: all of that is for a run. Tests of the dimensions are left to the next run.
    """
    with database.exclusive_if_free("marts") as is_ours:
        if not is_ours or relations_to_build(database):
            return False
        chosen = " ".join(DIMENSIONS)
        with dbt.running(["run", "--select", chosen, *window_arguments(window)]) as build:
            too_long = threading.Timer(MOST_SECONDS, build.process.kill)
            too_long.start()
            try:
                return build.is_successful()
            finally:
                too_long.cancel()

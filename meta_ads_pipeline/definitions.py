"""Where everything meets: assets, checks, jobs, schedules, sensors, resources."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import dagster as dg

from meta_ads_pipeline.automation.alerts import alert_sensors
from meta_ads_pipeline.automation.credentials import credential_schedules
from meta_ads_pipeline.automation.history import outdated_history
from meta_ads_pipeline.automation.ingested import ingest_sensors
from meta_ads_pipeline.automation.jobs import jobs
from meta_ads_pipeline.automation.near_real_time import near_real_time_sensors
from meta_ads_pipeline.automation.retention import retention_schedules
from meta_ads_pipeline.automation.schedules import schedules
from meta_ads_pipeline.automation.sensors import sensors
from meta_ads_pipeline.automation.webhooks import webhook_sensors
from meta_ads_pipeline.catalog import with_entries
from meta_ads_pipeline.logs import configure_logs
from meta_ads_pipeline.quality.gate import check_results
from meta_ads_pipeline.quality.runner import quality_checks
from meta_ads_pipeline.raw.assets import raw_assets
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.transform.assets import build_dbt_assets
from meta_ads_pipeline.transform.dbt_cli import dbt_cli
from meta_ads_pipeline.transform.project import dbt_project
from meta_ads_pipeline.transform.source_columns import with_source_columns


def build_defs(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The whole code location; ``resources`` replaces single resources, in tests above all."""
    return dg.Definitions(
        assets=with_entries(with_source_columns([*raw_assets, check_results, *build_dbt_assets()])),
        asset_checks=quality_checks,
        jobs=jobs,
        schedules=[*schedules, *credential_schedules, *retention_schedules],
        sensors=[
            *near_real_time_sensors(get_settings()),
            *sensors,
            *webhook_sensors,
            *ingest_sensors,
            *alert_sensors,
            outdated_history,
        ],
        resources={
            "database": DatabaseResource(),
            "meta": MetaAdsResource(),
            "dbt": dbt_cli(dbt_project()),
            **(resources or {}),
        },
        # Threads inside the assets do the waiting; a process per step would cost seconds each.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What ``workspace.yaml`` loads."""
    log_format = get_settings().log_format
    if log_format == "json":  # else as Dagster writes them
        configure_logs(log_format, logging.INFO)
    return build_defs()

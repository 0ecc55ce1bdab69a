"""The sensor that brings posted facts into the marts: one run for dates that changed."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from meta_ads_pipeline.automation.jobs import ingested_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.windows import range_tags
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.run_tags import INGESTED
from meta_ads_pipeline.windows import DateWindow

LONGEST_WINDOW = 31
"""Dates of one run; what is farther apart is the next run's."""

AGAIN_AFTER = timedelta(minutes=5)
"""A run that failed is asked for again when so long has passed, or when more was posted."""


def changed_dates(database: Database) -> dict[date, int]:
    """Dates whose posted facts are not in the marts as they are now, with a sum of versions."""
    with database.connect() as connection:
        rows = connection.execute(
            "select d.event_date, sum(d.version) as version from raw.ingested_days as d"
            " left join raw.ingested_days_built as b using (event_date, provider, account_id)"
            " where b.version is distinct from d.version group by d.event_date"
        ).fetchall()
    return {row["event_date"]: int(row["version"]) for row in rows}


def next_window(dates: dict[date, int]) -> DateWindow | None:
    """The newest of the dates, and those shortly before it; None when there is none."""
    if not dates:
        return None
    end = max(dates)
    earliest = end - timedelta(days=LONGEST_WINDOW - 1)
    return DateWindow(min(day for day in dates if day >= earliest), end)


@dg.sensor(
    job=ingested_job,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Builds the marts of dates that facts were posted for. Asks Meta nothing; on.",
)
def build_ingested_facts(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.RunRequest | dg.SkipReason:
    """One run at a time."""
    dates = changed_dates(database.database)
    window = next_window(dates)
    if window is None:
        return dg.SkipReason("the marts have every posted fact")
    unfinished = unfinished_run(context.instance, INGESTED)
    if unfinished is not None:
        return dg.SkipReason(f"run {unfinished} is building them")
    versions = sum(version for day, version in dates.items() if day >= window.start)
    period = int(datetime.now(UTC).timestamp() // AGAIN_AFTER.total_seconds())
    return dg.RunRequest(
        run_key=f"ingested:{window.start}:{window.end}:{versions}:{period}",
        tags=range_tags(window, INGESTED),
    )


ingest_sensors = [build_ingested_facts]

"""The daily round that keeps every retention: each part by itself, so that none costs another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.redaction import redact
from meta_ads_pipeline.retention import archive, dagster_records, files
from meta_ads_pipeline.retention.tables import RULES, delete_old_rows
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.transform.history import rebuild_windows
from meta_ads_pipeline.windows import DateWindow

logger = logging.getLogger(__name__)

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Kept:
    """What came of one retention: how many rows, runs, files or months went, or the error."""

    what: str
    deleted: int
    error: str | None = None


def keep_retentions(
    database: Database, instance: dg.DagsterInstance, settings: Settings, now: datetime
) -> list[Kept]:
    """Delete whatever is older than its retention; ``now`` is aware. Never raises for one part."""
    kept = []
    for what, delete in _parts(database, instance, settings, now):
        try:
            count = delete()
        except Exception as error:
            logger.exception("retention of %s", what)
            kept.append(Kept(what, 0, redact(error)))
            continue
        if count is not None:
            kept.append(Kept(what, count))
    return kept


def _parts(
    database: Database, instance: dg.DagsterInstance, settings: Settings, now: datetime
) -> Iterator[tuple[str, Callable[[], int | None]]]:
    runs_before = now - timedelta(days=settings.retention_runs_days)
    for rule in RULES:
        yield rule.table, lambda rule=rule: delete_old_rows(database, rule, settings, now)  # type: ignore[misc]
    yield "runs", lambda: dagster_records.delete_old_runs(instance, database, runs_before)
    yield "backfills", lambda: dagster_records.delete_old_backfills(database, runs_before)
    yield (
        "folders of runs",
        lambda: files.delete_orphaned_run_folders(
            settings.home, set(instance.get_run_ids()), runs_before
        ),
    )
    yield (
        "log files",
        lambda: files.shorten_logs(settings.home, settings.retention_log_megabytes * _MEGABYTE),
    )
    yield "months of hours", lambda: archive.archive_due(database, settings, now)
    yield "marts of archived months", lambda: build_archived_months(database)


def build_archived_months(database: Database) -> int | None:
    """Build the marts of months that were archived or restored since; None: there are none."""

    def rebuild(windows: Sequence[DateWindow]) -> None:
        from meta_ads_pipeline.transform.dbt_cli import dbt_cli
        from meta_ads_pipeline.transform.project import dbt_project

        rebuild_windows(dbt_cli(dbt_project()), database, windows)

    return len(archive.build_marts(database, rebuild)) or None

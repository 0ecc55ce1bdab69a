"""Outdated history is rebuilt a month at a time, newest first, and asked for once."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from meta_ads_pipeline.automation import history
from meta_ads_pipeline.automation.history import outdated_history
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.windows import DateWindow

from .conftest import GivenDatabase

NOVEMBER = DateWindow(date(2026, 11, 1), date(2026, 11, 20))
OCTOBER = DateWindow(date(2026, 10, 3), date(2026, 10, 31))


def tick(
    database: Database, instance: dg.DagsterInstance, cursor: str | None
) -> tuple[dg.RunRequest | dg.SkipReason, str | None]:
    resource = GivenDatabase(url=database.url)
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"database": resource}
    ) as context:
        result = outdated_history(context)
        assert isinstance(result, dg.RunRequest | dg.SkipReason)
        return result, context.cursor


def test_months_are_asked_for_one_after_the_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [NOVEMBER, OCTOBER]
    monkeypatch.setattr(history, "outdated_windows", lambda _: left)
    monkeypatch.setattr(history, "definition_of", lambda _: "abc")
    with dg.DagsterInstance.ephemeral() as instance:
        asked, cursor = tick(database, instance, None)
        assert isinstance(asked, dg.RunRequest)
        assert asked.tags["dagster/asset_partition_range_start"] == "2026-11-01"
        assert asked.tags["dagster/asset_partition_range_end"] == "2026-11-20"
        assert int(asked.tags["dagster/priority"]) < 0
        # It did not help, as of a day that is held: the next month has its turn, then nothing.
        asked, cursor = tick(database, instance, cursor)
        assert isinstance(asked, dg.RunRequest)
        assert asked.tags["dagster/asset_partition_range_start"] == "2026-10-03"
        skipped, cursor = tick(database, instance, cursor)
        assert isinstance(skipped, dg.SkipReason)
        # All current, then another edit: each month again.
        left.clear()
        _, cursor = tick(database, instance, cursor)
        left.append(OCTOBER)
        asked, cursor = tick(database, instance, cursor)
        assert isinstance(asked, dg.RunRequest)


def test_there_is_nothing_to_rebuild_before_the_first_build(database: Database) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        skipped, _ = tick(database, instance, None)
    assert isinstance(skipped, dg.SkipReason)

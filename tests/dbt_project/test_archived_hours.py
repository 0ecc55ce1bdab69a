"""A month whose hours moved to a file: days and sums stay, and all is back after the restore."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from meta_ads_pipeline.retention.archive import archive_month, restore_month
from meta_ads_pipeline.settings import Settings

from .warehouse import AdDay, Warehouse, tables_behind

MONTH, FIRST, LAST = date(2025, 3, 1), date(2025, 3, 9), date(2025, 3, 10)
PULLED = datetime(2025, 5, 1, 3, tzinfo=UTC)
MODELS = tables_behind("account_daily", "ad_daily", "account_hourly", "reconciliation")


def shown(warehouse: Warehouse, table: str) -> list[dict[str, Any]]:
    return warehouse.rows(
        f"select event_date, spend, impressions, clicks, purchases, revenue, is_settled,"
        f" is_reconciled from marts.{table} order by 1, 2"
    )


def test_days_stay_the_same_without_their_hours(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.account()
    for day in (FIRST, LAST):
        bought = AdDay("1", {9: ("2.50", 10, 1)}, {"omni_purchase": "3"}, {"omni_purchase": "90"})
        warehouse.pull(
            day, bought, AdDay("2", {0: ("1", 5, 0), 23: ("4.25", 7, 2)}), pulled_at=PULLED
        )
    warehouse.build(FIRST, LAST, tests=False, models=MODELS)
    days, ads = shown(warehouse, "account_daily"), shown(warehouse, "ad_daily")
    hours, facts = (
        warehouse.rows(f"select * from marts.{table} order by 1, 2")
        for table in ("account_hourly", "metric_facts")
    )
    assert len(hours) == 6
    assert all(row["is_settled"] and row["is_reconciled"] for row in days)

    settings = Settings(META_ADS_HOME=tmp_path)
    assert archive_month(warehouse.database, settings, MONTH) == 6
    warehouse.build(FIRST, LAST, tests=False, models=MODELS)
    assert shown(warehouse, "account_daily") == days
    assert shown(warehouse, "ad_daily") == ads
    assert warehouse.rows("select from marts.account_hourly") == []
    assert {row["grain"] for row in warehouse.rows("select grain from marts.metric_facts")} == {
        "day"
    }

    assert restore_month(warehouse.database, settings, MONTH) == 6
    warehouse.build(FIRST, LAST, tests=False, models=MODELS)
    assert shown(warehouse, "account_daily") == days
    assert warehouse.rows("select * from marts.account_hourly order by 1, 2") == hours
    assert warehouse.rows("select * from marts.metric_facts order by 1, 2") == facts

"""Budgets as of each date with the spend up to it; creatives are read only when changed."""

from __future__ import annotations

from datetime import date, timedelta

from .test_anomalies import version
from .warehouse import AdDay, Warehouse, tables_behind

DAY = date(2026, 11, 19)


def test_budgets_as_of_each_date_with_spend_to_date(warehouse: Warehouse) -> None:
    """Raised on the second day; the ad set has a lifetime budget and an end."""
    warehouse.account()
    before = DAY - timedelta(days=1)
    schedule = {"start_time": "2026-11-18T00:00:00+0100", "end_time": "2026-11-22T00:00:00+0100"}
    warehouse.entity("adsets", "31", "1", schedule, campaign_id="21")
    version(warehouse, "campaign", "21", "2026-11-01", name="A", daily_budget="4000")
    version(warehouse, "campaign", "21", f"{DAY} 12:00+00", name="A", daily_budget="5050")
    version(warehouse, "adset", "31", "2026-11-01", name="B", lifetime_budget="10000")
    warehouse.pull(before - timedelta(days=20), AdDay("1", {9: ("5.00", 10, 1)}))
    warehouse.pull(before, AdDay("1", {9: ("30.00", 10, 1)}))
    warehouse.pull(DAY, AdDay("1", {9: ("20.20", 10, 1)}))
    warehouse.build(tests=False, models=tables_behind("budget_pacing"))
    rows = warehouse.rows(
        "select level, event_date, daily_budget::text, lifetime_budget::text, spend, spend_to_date,"
        " spend_of_month, share_of_daily_budget::text, share_of_lifetime_budget::text,"
        " share_of_schedule::text from marts.budget_pacing where event_date >= %s order by 1, 2",
        before,
    )
    found = ["|".join(str(value) for value in row.values()) for row in rows]
    assert found == [
        "adset|2026-11-18|None|100.00|30.00|35.00|30.00|None|0.350000|0.250000",
        "adset|2026-11-19|None|100.00|20.20|55.20|50.20|None|0.552000|0.500000",
        "campaign|2026-11-18|40.00|None|30.00|35.00|30.00|0.750000|None|None",
        "campaign|2026-11-19|50.50|None|20.20|55.20|50.20|0.400000|None|None",
    ]


def test_only_changed_creatives_are_read(warehouse: Warehouse) -> None:
    warehouse.account()

    def land(title: str, changed_at: str | None = None) -> None:
        for creative in ("41", "42"):
            warehouse.entity("creatives", creative, "1", {"title": title})
        if changed_at:
            changed = f"update raw.creatives set changed_at = '{changed_at}' where id = '41'"
            warehouse.execute(changed)

    def titles() -> dict[str, str]:
        arguments = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
        assert warehouse.dbt("build", "--select", "dim_creatives", *arguments).success
        rows = warehouse.rows("select creative_id, title from marts.dim_creatives")
        return {row["creative_id"]: row["title"] for row in rows}

    land("first")
    assert titles() == {"41": "first", "42": "first"}
    land("second", "2026-11-22")
    assert titles() == {"41": "second", "42": "first"}, "42 has not changed, as its pull said"
    warehouse.execute("update intermediate.model_code set code = 'of an earlier version'")
    assert titles() == {"41": "second", "42": "second"}
    warehouse.execute("delete from raw.creatives where id = '42'")
    assert titles() == {"41": "second"}

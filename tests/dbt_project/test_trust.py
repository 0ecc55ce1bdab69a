"""The tables that say how far the numbers can be trusted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from meta_ads_pipeline.control import slice_audit, slices
from meta_ads_pipeline.control.check_results import DayResult, record_results
from meta_ads_pipeline.control.slices import Attempt, SliceCounts, SliceKey

from .warehouse import AdDay, Warehouse, tables_behind

DAY = date(2026, 11, 19)
ACCOUNT_DAYS = tables_behind("account_daily", "reconciliation")
"""A Thursday, pulled when it was two days old."""


def spend_status(warehouse: Warehouse) -> tuple[str, Decimal]:
    (row,) = warehouse.rows(
        "select status, tolerance from marts.reconciliation where measure = 'spend'"
    )
    return row["status"], row["tolerance"]


def test_a_difference_is_let_through_while_the_date_is_young(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same 0.40 in 100: fine on the day and after two days, never once it is settled."""
    warehouse.account(timezone="UTC")
    ad = AdDay("1", {9: ("100.00", 10, 1)})
    monkeypatch.setenv("PGOPTIONS", "-c meta_ads.now=2026-11-21T12:00Z")
    warehouse.pull(
        DAY, ad, account_spend="100.40", pulled_at=datetime(2026, 11, 19, 12, tzinfo=UTC)
    )
    warehouse.build(DAY, tests=False, models=ACCOUNT_DAYS)
    assert spend_status(warehouse) == ("within_tolerance", Decimal("5.02"))
    warehouse.pull(DAY, ad, account_spend="100.40")
    warehouse.build(DAY, tests=False, models=ACCOUNT_DAYS)
    assert spend_status(warehouse) == ("within_tolerance", Decimal("0.502"))
    assert warehouse.value("select spend from marts.account_daily") == Decimal("100.00")
    monkeypatch.setenv("PGOPTIONS", "-c meta_ads.now=2026-12-18T12:00Z")
    warehouse.build(DAY, tests=False, models=ACCOUNT_DAYS)
    assert spend_status(warehouse)[0] == "within_tolerance", "not pulled since it could settle"
    warehouse.pull(
        DAY, ad, account_spend="100.40", pulled_at=datetime(2026, 12, 18, 12, tzinfo=UTC)
    )
    warehouse.build(DAY, tests=False, models=ACCOUNT_DAYS)
    assert spend_status(warehouse) == ("mismatch", 0)
    assert warehouse.value("select spend from marts.account_daily") == Decimal("100.00")


def test_a_failed_pull_again_leaves_the_earlier_one_standing(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.pull(DAY, AdDay("1", {9: ("1.00", 10, 1)}))
    warehouse.execute(
        "update control.slices set status = 'failed' where asset = 'insights_daily'",
        "insert into control.slices (account_id, partition_date, asset, status)"
        " values ('1', '2026-11-18', 'insights_daily', 'failed')",
    )
    warehouse.build(DAY - timedelta(days=1), DAY, models=ACCOUNT_DAYS)
    statuses = warehouse.rows(
        "select event_date, status, hourly_total from marts.reconciliation"
        " where measure = 'spend' order by 1"
    )
    assert [tuple(row.values()) for row in statuses] == [
        (date(2026, 11, 18), "incomplete", None),
        (DAY, "reconciled", Decimal("1.00")),
    ]


def test_ads_that_cancel_out_are_seen(warehouse: Warehouse) -> None:
    """Two ads' hours swapped: every total agrees, and yet no ad does."""
    warehouse.account()
    warehouse.pull(DAY, AdDay("1", {9: ("60.00", 10, 1)}), AdDay("2", {9: ("40.00", 10, 1)}))
    warehouse.execute("update raw.insights_hourly set spend = 100 - spend")
    warehouse.build(DAY, models=ACCOUNT_DAYS)
    (row,) = warehouse.rows("select * from marts.reconciliation where measure = 'spend'")
    assert (row["status"], row["delta"], row["ads_differing"]) == ("mismatch", 0, 2)
    assert row["reason"] == ("2 ads differ between hours and day, 0 without hours, 0 without a day")
    assert warehouse.rows("select * from marts.metric_facts where spend is not null") == []


def test_restatements_and_freshness(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c meta_ads.now=2026-11-21T04:00Z")
    warehouse.account("1", timezone="America/New_York")
    warehouse.account("2")
    for day in (DAY, DAY - timedelta(days=1), DAY - timedelta(days=3)):
        warehouse.pull(day, AdDay("1", {9: ("1.00", 10, 1), 23: ("1.00", 10, 1)}))
    warehouse.pull(DAY, AdDay("1", {9: ("1.00", 10, 1)}), account_id="2", account_spend="9.99")
    warehouse.execute(
        "insert into raw.insights_changes (account_id, event_date, asset, entity_id, event_hour,"
        " measure, old_value, new_value, detected_at) values"
        " ('1', '2026-11-18', 'insights_hourly', '1', 9, 'spend', '1.00', '1.25',"
        "  '2026-11-21T04:30Z'),"
        " ('1', '2026-11-18', 'insights_daily', '1', null, 'attribution_setting', 'a', 'b',"
        "  '2026-11-21T05:30Z')"
    )
    warehouse.build(models=ACCOUNT_DAYS)
    first, second = warehouse.rows("select * from marts.restatements order by restatement_id")
    assert (first["old_value"], first["new_value"], first["change"]) == (
        *(Decimal("1.00"), Decimal("1.25")),
        Decimal("0.25"),
    )
    assert [first["lag_days"], second["lag_days"]] == [2, 3], "by New York's calendar"
    assert (second["old_value"], second["change"]) == (None, 0)
    record_results(
        warehouse.database,
        ("raw/insights_hourly", "schema"),
        "block",
        [DayResult("1", DAY, "failed", violations=1)],
        run_id="a run",
    )
    with warehouse.database.connect() as connection:
        connection.execute("set meta_ads.now = '2026-11-21T04:00Z'")
        one, two = connection.execute(
            "select * from marts.freshness order by account_id"
        ).fetchall()
    assert one["last_hour_at"] == datetime(2026, 11, 20, 4, tzinfo=UTC)
    assert (one["data_lag_minutes"], one["pull_lag_minutes"]) == (23 * 60, 60)
    assert (one["missing_days"], one["missing_dates"]) == (1, "2026-11-17")
    assert (one["is_late"], one["held_days"]) == (True, 1), "by a check of landed rows"
    assert (two["missing_days"], two["held_days"]) == (1, 1), "by reconciliation"


def test_the_audit_has_every_attempt(warehouse: Warehouse) -> None:
    warehouse.account()
    key, by = SliceKey("1", "insights_daily"), Attempt("sync", "run", "schedule x", "v26.0")
    with warehouse.database.connect() as connection:
        connection.execute("truncate control.slice_loads, control.slice_failures")
        slices.claim(connection, key, [DAY], by)
        slices.fail(connection, key, [DAY], by, kind="transient", message="try again")
    with warehouse.database.connect() as connection:
        slices.claim(connection, key, [DAY], by)
        counts = {DAY: SliceCounts(fetched=7, inserted=5, unchanged=2)}
        now = datetime.now(UTC)
        slices.finish(connection, key, counts, by, pulled_at=now, api_calls={DAY: 3})
        slice_audit.amend(connection, key, DAY, SliceCounts(inserted=1, dead_lettered=1))
    rows = warehouse.rows(
        "select result, requested_by, api_calls, rows_fetched, rows_inserted, error_kind,"
        " duration_seconds is not null as has_duration, workspace_id is not null as has_workspace"
        " from marts.sync_audit order by finished_at, attempt_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("parked", "schedule x", None, None, None, "transient", True, True),
        ("landed", "schedule x", 3, 7, 5, None, True, True),
        ("replayed", "meta-ads dead-letters replay", 0, 0, 1, None, False, True),
    ]

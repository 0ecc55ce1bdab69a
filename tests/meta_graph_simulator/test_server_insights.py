"""Insights over HTTP: synchronous reads, report runs, limits, changes of the data below."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from meta_graph_simulator.insights.parameters import preset_range

HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
WEEK = {"since": "2026-11-09", "until": "2026-11-15"}


def total(rows: list[dict[str, Any]], metric: str = "spend") -> Decimal:
    return sum((Decimal(row[metric]) for row in rows if metric in row), Decimal(0))


def test_default_fields_and_dates(graph: Any, account: str) -> None:
    row = graph.ok(graph.get(f"{account}/insights"))["data"][0]
    assert {"impressions", "spend", "date_start", "date_stop"} <= set(row)
    assert (row["date_start"], row["date_stop"]) == ("2026-10-21", "2026-11-19")


def test_three_pulls_agree_with_the_truth(graph: Any, account: str) -> None:
    params = {"fields": "spend,impressions", "time_range": WEEK, "time_increment": 1}
    hours = graph.data(f"{account}/insights", level="ad", breakdowns=[HOURLY], **params, limit=500)
    days = graph.data(f"{account}/insights", level="ad", **params)
    account_days = graph.data(f"{account}/insights", level="account", **params)
    truth = graph.control.truth(account, date(2026, 11, 9), date(2026, 11, 15))
    assert len(account_days) == 7
    archived_too = graph.data(
        f"{account}/insights",
        level="ad",
        **params,
        filtering=[
            {
                "field": "ad.effective_status",
                "operator": "NOT_IN",
                "value": ["SOMETHING_ELSE"],
            }
        ],
    )
    assert total(archived_too) == total(account_days) == sum(Decimal(d["spend"]) for d in truth)
    assert total(hours) == total(days) <= total(account_days)
    assert all(HOURLY in row for row in hours)


def test_object_insights_are_their_part_of_the_account(graph: Any, account: str) -> None:
    rows = graph.data(
        f"{account}/insights", level="campaign", fields="campaign_id,spend", time_range=WEEK
    )
    for row in rows:
        one = graph.data(f"{row['campaign_id']}/insights", fields="spend", time_range=WEEK)
        assert total(one) == Decimal(row["spend"])


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"level": "keyword"}, "level must be one of"),
        ({"time_range": {}}, "(#100) param time_range must be non-empty."),
        ({"time_range": {"since": "2026-11-01"}}, "since and until"),
        ({"time_range": {"since": "2026-11-31", "until": "2026-12-01"}}, "time_range[since]"),
        ({"time_range": {"since": "2026-11-05", "until": "2026-11-01"}}, "must not be after"),
        ({"time_increment": 91}, "time_increment"),
        ({"date_preset": "last_blue_moon"}, "date_preset must be one of"),
        ({"fields": "spend,charm"}, "charm"),
        ({"filtering": [{"field": "spend", "operator": "IS", "value": 1}]}, "operator"),
        ({"breakdowns": ["mood"]}, "breakdowns[0] must be one of"),
    ],
)
def test_bad_parameters(graph: Any, account: str, params: dict[str, Any], part: str) -> None:
    for response in (
        graph.get(f"{account}/insights", **params),
        graph.post(f"{account}/insights", **params),
    ):
        error = graph.error(response)
        assert response.status_code == 400
        assert error["code"] == 100
        assert part in error["message"]


def test_older_than_37_months(graph: Any, account: str) -> None:
    old = {"since": "2023-01-01", "until": "2023-01-02"}
    error = graph.error(graph.get(f"{account}/insights", time_range=old))
    assert error["code"] == 3018


def test_sort_and_several_ranges(graph: Any, account: str) -> None:
    rows = graph.data(
        f"{account}/insights",
        level="ad",
        fields="spend",
        time_range=WEEK,
        time_increment=1,
        sort=["spend_descending"],
        limit=10,
    )
    amounts = [Decimal(row["spend"]) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    ranges = [
        {"since": "2026-11-01", "until": "2026-11-02"},
        {"since": "2026-11-05", "until": "2026-11-06"},
    ]
    rows = graph.data(f"{account}/insights", fields="spend", time_ranges=ranges)
    assert [row["date_start"] for row in rows] == ["2026-11-01", "2026-11-05"]


def test_default_summary(graph: Any, account: str) -> None:
    page = graph.ok(
        graph.get(
            f"{account}/insights",
            level="ad",
            fields="spend",
            time_range=WEEK,
            default_summary="true",
            limit=2,
        )
    )
    whole = graph.data(f"{account}/insights", level="account", fields="spend", time_range=WEEK)
    assert Decimal(page["summary"]["spend"]) <= total(whole)
    assert Decimal(page["summary"]["spend"]) > 0


def test_report_run_from_start_to_rows(graph: Any, account: str) -> None:
    graph.control.configure(job_seconds=100)
    params = {"level": "ad", "fields": ["ad_id", "spend"], "time_range": WEEK, "time_increment": 1}
    job = graph.run_job(account, **params, limit=500)
    seen = []
    for advance in (0, 10, 40, 49, 1):
        graph.control.advance_clock(advance)
        run = graph.ok(graph.get(job))
        seen.append((run["async_status"], run["async_percent_completion"]))
        if run["async_status"] != "Job Completed":
            early = graph.get(f"{job}/insights")
            error = graph.error(early)
            assert (error["code"], error["error_subcode"]) == (2601, 1815107)
    assert seen == [
        ("Job Not Started", 0),
        ("Job Started", 10),
        ("Job Running", 50),
        ("Job Running", 99),
        ("Job Completed", 100),
    ]
    assert (run["date_start"], run["date_stop"]) == (WEEK["since"], WEEK["until"])
    assert run["time_completed"] - run["time_ref"] == 100
    assert run["account_id"] == account.removeprefix("act_")
    assert len(graph.ok(graph.get(f"{job}/insights"))["data"]) == 25
    rows = graph.data(f"{job}/insights", limit=30)
    assert rows == graph.data(f"{account}/insights", **params)


def test_report_run_fields_and_unquoted_id(graph: Any, account: str) -> None:
    graph.control.configure(quoted_report_run_id=False)
    made = graph.ok(graph.post(f"{account}/insights", level="account"))
    job = made["report_run_id"]
    assert isinstance(job, int)
    run = graph.ok(graph.get(str(job), fields="async_status"))
    assert run == {"id": str(job), "async_status": "Job Completed"}
    assert graph.error(graph.get(str(job), fields="mood"))["code"] == 100
    assert graph.error(graph.get(f"{job}/rows"))["code"] == 100


def test_report_runs_expire(graph: Any, account: str) -> None:
    job = graph.run_job(account)
    graph.control.advance_clock(29 * 86_400)
    assert graph.ok(graph.get(job))["async_status"] == "Job Completed"
    graph.control.advance_clock(2 * 86_400)
    assert graph.error(graph.get(job))["error_subcode"] == 33


def test_too_large_for_a_synchronous_call(graph: Any, account: str) -> None:
    params = {
        "level": "ad",
        "breakdowns": HOURLY,
        "time_increment": 1,
        "time_range": WEEK,
        "limit": 500,
    }
    rows = graph.data(f"{account}/insights", **params)
    graph.control.configure(max_sync_rows=len(rows) - 1)
    response = graph.get(f"{account}/insights", **params)
    assert response.status_code == 500
    error = graph.error(response)
    assert error["code"] == 1
    assert "reduce the amount of data" in error["message"]
    graph.control.configure(too_much_data_variant="1487534")
    error = graph.error(graph.get(f"{account}/insights", **params))
    assert (error["code"], error["error_subcode"]) == (100, 1487534)
    graph.control.configure(too_much_data_variant="1", max_sync_rows=len(rows))
    assert graph.data(f"{account}/insights", **params) == rows
    job = graph.run_job(account, **params)
    assert graph.data(f"{job}/insights", limit=500) == rows
    graph.control.configure(max_job_rows=len(rows) - 1)
    job = graph.run_job(account, **params)
    run = graph.ok(graph.get(job))
    assert run["async_status"] == "Job Failed"
    assert (run["error_code"], run["error_subcode"]) == (100, 1487534)


def test_restated_and_vanished_rows(graph: Any, account: str) -> None:
    params = {"level": "account", "fields": "spend,impressions", "time_increment": 1}
    params["time_range"] = WEEK
    before = {row["date_start"]: row for row in graph.data(f"{account}/insights", **params)}
    job = graph.run_job(account, **params)
    graph.control.restate(account, [date(2026, 11, 10)], "1.5")
    graph.control.vanish(account, [date(2026, 11, 12)])
    after = {row["date_start"]: row for row in graph.data(f"{account}/insights", **params)}
    assert set(before) - set(after) == {"2026-11-12"}
    assert Decimal(after["2026-11-10"]["spend"]) > Decimal(before["2026-11-10"]["spend"])
    unchanged = set(before) - {"2026-11-10", "2026-11-12"}
    assert all(after[day] == before[day] for day in unchanged)
    # A report run is a picture of the moment at which it ran.
    kept = {row["date_start"]: row for row in graph.data(f"{job}/insights")}
    assert kept == before
    truth = graph.control.truth(account, date(2026, 11, 9), date(2026, 11, 15))
    assert {row["date"]: row["spend"] for row in truth} == {
        day: row["spend"] for day, row in after.items()
    }
    by_ad = graph.control.truth(account, date(2026, 11, 10), date(2026, 11, 10), by_ad=True)
    assert sum(Decimal(row["spend"]) for row in by_ad) == Decimal(after["2026-11-10"]["spend"])


def test_adjusted_amounts_reach_every_level(graph: Any, account: str) -> None:
    params = {"fields": "spend", "time_range": WEEK}
    ad = graph.data(f"{account}/insights", level="ad", **params | {"fields": "ad_id,spend"})[0]
    before = total(graph.data(f"{account}/insights", **params))
    graph.control.adjust(account, ad["ad_id"], date(2026, 11, 10), {"spend": 123}, hour=9)
    assert total(graph.data(f"{account}/insights", **params)) - before == Decimal("1.23")
    assert total(graph.data(f"{ad['ad_id']}/insights", **params)) == Decimal(ad["spend"]) + (
        Decimal("1.23")
    )


def test_today_grows_with_the_clock(graph: Any, account: str) -> None:
    def spent() -> Decimal:
        return total(graph.data(f"{account}/insights", date_preset="today", fields="spend"))

    noon = spent()
    graph.control.advance_clock(3 * 3600)
    assert spent() > noon > 0


def test_level_fault_breaks_one_level_only(graph: Any, account: str) -> None:
    params = {"fields": "spend", "time_range": WEEK}
    ads = graph.data(f"{account}/insights", level="ad", **params, limit=500)
    whole = graph.data(f"{account}/insights", level="account", **params)
    graph.control.plant_level_fault(account, "ad", "drop", day=date(2026, 11, 11))
    fewer = graph.data(f"{account}/insights", level="ad", **params, limit=500)
    assert total(fewer) < total(ads)
    assert graph.data(f"{account}/insights", level="account", **params) == whole


@pytest.mark.parametrize(
    ("preset", "since", "until"),
    [
        ("today", "2026-05-13", "2026-05-13"),
        ("last_7d", "2026-05-06", "2026-05-12"),
        ("last_week_mon_sun", "2026-05-04", "2026-05-10"),
        ("last_week_sun_sat", "2026-05-03", "2026-05-09"),
        ("this_week_sun_today", "2026-05-10", "2026-05-13"),
        ("last_month", "2026-04-01", "2026-04-30"),
        ("last_quarter", "2026-01-01", "2026-03-31"),
        ("last_year", "2025-01-01", "2025-12-31"),
        ("maximum", "2023-04-13", "2026-05-13"),
    ],
)
def test_date_presets(preset: str, since: str, until: str) -> None:
    found = preset_range(preset, date(2026, 5, 13))
    assert [day.isoformat() for day in found] == [since, until]

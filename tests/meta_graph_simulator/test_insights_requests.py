"""What an insights request may ask: refusals, retention, filters, order, totals."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from meta_graph_simulator.accounts.generator import GeneratedAccount
from meta_graph_simulator.insights.run import ParameterError, run, summarize
from meta_graph_simulator.insights.validation import months_before
from tests.meta_graph_simulator.generated_accounts import (
    COUNTS,
    HOURLY,
    Row,
    account,
    query,
    totals,
)


@pytest.fixture(scope="module")
def source() -> GeneratedAccount:
    return account()


# Hours


def test_reach_by_the_hour_is_zero(source: GeneratedAccount) -> None:
    fields = ("reach", "frequency", "impressions")
    rows = run(source, query(fields=fields, breakdowns=(HOURLY,), time_increment=1))
    assert {(row["reach"], row["frequency"]) for row in rows} == {("0", "0")}


@pytest.mark.parametrize(
    "field", ["unique_clicks", "cpp", "cost_per_unique_click", "video_p25_watched_actions"]
)
def test_fields_refused_by_the_hour(source: GeneratedAccount, field: str) -> None:
    with pytest.raises(ParameterError, match=field) as refused:
        run(source, query(fields=("spend", field), breakdowns=(HOURLY,)))
    assert refused.value.code == 100
    run(source, query(fields=("spend", field)))


@pytest.mark.parametrize(
    "more",
    [
        {"breakdowns": (HOURLY, "age")},
        {"breakdowns": (HOURLY,), "action_breakdowns": ("action_device",)},
        {"breakdowns": ("age", "age")},
    ],
)
def test_combinations_refused(source: GeneratedAccount, more: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="combination of data breakdown columns"):
        run(source, query(**more))


def test_hours_older_than_thirteen_months_are_gone() -> None:
    found = account(from_date=date(2025, 1, 1))
    old = {"since": date(2025, 10, 15), "until": date(2025, 10, 25), "time_increment": 1}
    days = run(found, query(**old))
    assert len(days) == 11
    hours = run(found, query(breakdowns=(HOURLY,), **old))
    assert {row["date_start"] for row in hours} == {f"2025-10-{day}" for day in range(21, 26)}
    (row,) = run(found, query(**{**old, "time_increment": "all_days"}, fields=("reach",)))
    assert "reach" in row
    fields = ("reach", "unique_clicks", "spend")
    segment = run(found, query(fields=fields, breakdowns=("age",), **old))[0]
    assert set(segment) == {"spend", "date_start", "date_stop", "age"}


# Refusals


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (
            {"fields": ("spend", "spent")},
            100,
            r"^\(#100\) spent is not valid for fields param. please check https://developers"
            r".facebook.com/docs/marketing-api/reference/ads-insights/ for all valid values$",
        ),
        ({"fields": (HOURLY,)}, 100, "not valid for fields param"),
        ({"since": date(2023, 10, 20)}, 3018, "beyond 37 months"),
        ({"since": date(2026, 11, 15)}, 100, "since"),
        ({"breakdowns": ("ages",)}, 100, r"breakdowns\[0\] must be one of"),
        ({"breakdowns": ("hourly_stats_aggregated_by_audience_time_zone",)}, 100, "opted in"),
        ({"action_breakdowns": ("action",)}, 100, r"action_breakdowns\[0\] must be one of"),
        ({"action_attribution_windows": ("2d_click",)}, 100, "action_attribution_windows"),
        ({"time_increment": 91}, 100, "time_increment"),
        ({"sort": ("spend",)}, 100, "Sort field"),
        ({"sort": ("spent_ascending",)}, 100, "Sort field"),
        (
            {"filtering": ({"field": "page.id", "operator": "IN", "value": ["1"]},)},
            100,
            "Filtering field page.id",
        ),
    ],
)
def test_refusals(source: GeneratedAccount, more: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as refused:
        run(source, query(**more))
    assert refused.value.code == code


def test_the_edge_of_the_retention(source: GeneratedAccount) -> None:
    run(source, query(since=date(2023, 10, 21)))
    assert months_before(date(2026, 3, 31), 1) == date(2026, 2, 28)
    assert months_before(date(2026, 1, 5), 37) == date(2022, 12, 5)


# Filters, order, scope


def filters(*items: tuple[str, str, Any]) -> dict[str, Any]:
    return {"filtering": tuple({"field": f, "operator": o, "value": v} for f, o, v in items)}


def test_filters_by_id_at_every_level(source: GeneratedAccount) -> None:
    rows = run(source, query(level="ad", fields=None))
    chosen = rows[0]
    for name in ("ad", "adset", "campaign"):
        wanted = [row for row in rows if row[f"{name}_id"] == chosen[f"{name}_id"]]
        found = run(
            source,
            query(level="ad", fields=None, **filters((f"{name}.id", "IN", [chosen[f"{name}_id"]]))),
        )
        assert found == wanted
        (sum_row,) = run(source, query(**filters((f"{name}.id", "IN", [chosen[f"{name}_id"]]))))
        assert Decimal(sum_row["spend"]) == sum(Decimal(row["spend"]) for row in wanted)
        scoped = run(source, query(level="ad", fields=None, object_id=chosen[f"{name}_id"]))
        assert scoped == wanted


def test_filters_split_an_account_without_loss(source: GeneratedAccount) -> None:
    ids = [row["campaign_id"] for row in run(source, query(level="campaign", fields=None))]
    halves = (ids[::2], ids[1::2])
    parts = [run(source, query(**filters(("campaign.id", "IN", half)))) for half in halves]
    assert totals([row for part in parts for row in part]) == totals(run(source, query()))


def test_filters_on_metrics_names_and_action_types(source: GeneratedAccount) -> None:
    everything = run(source, query(level="ad", fields=("ad_id", "ad_name", "spend", "impressions")))
    big = run(
        source,
        query(level="ad", fields=("ad_id",), **filters(("spend", "GREATER_THAN", "500"))),
    )
    expected = [row["ad_id"] for row in everything if Decimal(row["spend"]) > 500]
    assert [row["ad_id"] for row in big] == expected
    assert 0 < len(expected) < len(everything)
    assert "spend" not in big[0]
    named = run(source, query(level="ad", **filters(("ad.name", "CONTAIN", "VIDEO"))))
    assert len(named) == sum("video" in row["ad_name"] for row in everything)
    (clicks,) = run(source, query(**filters(("action_type", "IN", ["link_click", "purchase"]))))
    assert [item["action_type"] for item in clicks["actions"]] == ["link_click", "purchase"]


@pytest.mark.parametrize("level", ["ad", "adset", "campaign"])
def test_removed_objects_show_only_when_their_status_is_asked(level: str) -> None:
    found = account(ads=60)
    key = f"{level}_id"
    span = {"level": level, "since": date(2026, 9, 20), "fields": (key, *COUNTS)}
    status = {doc["id"]: doc["effective_status"] for doc in found.objects(level)}  # type: ignore[arg-type]

    def statuses(**more: Any) -> set[str]:
        rows = run(found, query(**span, **{"hide_removed": True, **more}))
        return {status[row[key]] for row in rows}

    everything = statuses(hide_removed=False)
    assert {"ARCHIVED", "DELETED"} <= everything
    assert statuses() == everything - {"ARCHIVED", "DELETED"}
    both = ["ACTIVE", "ARCHIVED", "DELETED"]
    assert statuses(**filters((f"{level}.effective_status", "IN", both))) == set(both)
    gone = filters((f"{level}.delivery_info", "IN", ["archived"]))
    assert statuses(**gone) == {"ARCHIVED"}
    shown = totals(_counted(run(found, query(**span, hide_removed=True))))
    account_total = totals(_counted(run(found, query(**{**span, "level": "account"}))))
    assert shown["spend"] < account_total["spend"]


def _counted(rows: list[Row]) -> list[Row]:
    return [{name: row[name] for name in COUNTS} for row in rows]


def test_a_deleted_ad_is_read_by_id() -> None:
    found = account(ads=60)
    ad = next(
        row["ad_id"]
        for row in run(found, query(level="ad", fields=("ad_id",)))
        if found.entities().by_id["ad"][row["ad_id"]]["effective_status"] == "DELETED"
    )
    assert run(found, query(level="ad", object_id=ad, hide_removed=True, fields=None))


def test_sort(source: GeneratedAccount) -> None:
    rows = run(
        source, query(level="ad", fields=("ad_id", "impressions"), sort=("spend_descending",))
    )
    spends = {
        row["ad_id"]: Decimal(row["spend"])
        for row in run(source, query(level="ad", fields=("ad_id", "spend")))
    }
    order = [spends[row["ad_id"]] for row in rows]
    assert order == sorted(order, reverse=True)
    assert "spend" not in rows[0]
    clicks = run(source, query(level="ad", sort=("actions:link_click_ascending",)))
    counts = [
        int({i["action_type"]: i["value"] for i in row.get("actions", ())}.get("link_click", "-1"))
        for row in clicks
    ]
    assert counts == sorted(counts)


def test_summary_is_the_sum(source: GeneratedAccount) -> None:
    for more in (
        {"level": "ad", "time_increment": 1},
        {"level": "ad", "hide_removed": True},
        {"level": "campaign", **filters(("campaign.objective", "IN", ["OUTCOME_SALES"]))},
    ):
        rows = run(source, query(**more))
        assert totals([summarize(source, query(**more))]) == totals(rows)
    nothing = summarize(source, query(since=date(2024, 1, 1), until=date(2024, 1, 2)))
    assert nothing == {"date_start": "2024-01-01", "date_stop": "2024-01-02"}

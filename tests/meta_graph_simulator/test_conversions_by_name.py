"""Standard and custom events by name: in the fields `conversions` and `conversion_values` alone."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from meta_graph_simulator.accounts.generator import GeneratedAccount
from meta_graph_simulator.accounts.totals import account_truth
from meta_graph_simulator.insights.run import run
from tests.meta_graph_simulator.conftest import GraphClient
from tests.meta_graph_simulator.generated_accounts import HOURLY, SINCE, UNTIL, Row, account, query

FIELDS = ("actions", "action_values", "conversions", "conversion_values")
PIXEL_CUSTOM = "offsite_conversion.fb_pixel_custom"


@pytest.fixture(scope="module")
def source() -> GeneratedAccount:
    return account()


def sums(rows: list[Row], field: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        for item in row.get(field, ()):
            found[item["action_type"]] += Decimal(item["value"])  # type: ignore[assignment]
    return found


def test_names_are_in_conversions_and_nowhere_else(source: GeneratedAccount) -> None:
    rows = run(source, query(level="ad", fields=FIELDS, time_increment=1))
    conversions, actions = sums(rows, "conversions"), sums(rows, "actions")
    assert {"contact_total", "contact_website", "subscribe_total"} <= set(conversions)
    assert not set(conversions) & set(actions)
    assert conversions["contact_total"] == (
        conversions["contact_website"] + conversions["contact_mobile_app"]
    )
    events = ("contact_website", "subscribe_website", f"{PIXEL_CUSTOM}.QuizCompleted")
    assert actions[PIXEL_CUSTOM] == sum(conversions[name] for name in events)
    values = sums(rows, "conversion_values")
    assert set(values) == {"subscribe_total", "subscribe_website"}
    assert values["subscribe_total"] == sums(rows, "action_values")[PIXEL_CUSTOM]


def test_levels_agree_and_hours_have_none(source: GeneratedAccount) -> None:
    by_ad = run(source, query(level="ad", fields=FIELDS, time_increment=1))
    whole = run(source, query(level="account", fields=FIELDS))
    for field in FIELDS:
        assert sums(by_ad, field) == sums(whole, field)
    assert not sums(run(source, query(breakdowns=(HOURLY,), fields=FIELDS)), "conversions")


def test_truth_names_them(source: GeneratedAccount) -> None:
    truth = account_truth(source, SINCE, UNTIL)
    rows = run(source, query(fields=FIELDS, time_increment=1))
    for field in FIELDS:
        assert {name for day in truth for name in day[field]} == set(sums(rows, field))
    assert [sum(day["conversions"].values()) for day in truth] == [
        sum(int(item["value"]) for item in row.get("conversions", ())) for row in rows
    ]


def test_custom_conversions_have_names_and_rules(graph: GraphClient, account: str) -> None:
    fields = "id,name,rule,custom_event_type,is_archived,pixel"
    found = graph.data(f"{account}/customconversions", fields=fields)
    assert [(item["name"], item["is_archived"]) for item in found] == [
        ("Quiz finished", False),
        ("Newsletter page", True),
    ]
    assert "QuizCompleted" in found[0]["rule"]
    promoted = [
        item["promoted_object"]["custom_conversion_id"]
        for item in graph.data(f"{account}/adsets", fields="promoted_object", limit=100)
        if "custom_conversion_id" in item.get("promoted_object", {})
    ]
    assert set(promoted) <= {found[0]["id"]}

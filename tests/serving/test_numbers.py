"""Numbers of whatever gives numbers are the facts' own: API in each format, MCP, dashboard."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.semantic.query import Breakdown, MetricQuery
from meta_ads_pipeline.serving.dashboard.drilldown import COLUMNS
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving.conftest import running_service
from tests.serving.small_marts import DEFAULT, FIRST, LAST, fill
from tests.serving.sums_by_hand import (
    LAYER,
    TIMEZONES,
    Facts,
    Key,
    answer_by_hand,
    value_by_hand,
    whole_questions,
)
from tests.serving.test_dashboard import Browser

FORMATS = ("json", "csv", "arrow", "parquet")


@pytest.fixture(scope="module")
def world(postgres_url: str, template_database: str) -> Iterator[Any]:
    with copy_of_template(postgres_url, template_database) as database:
        facts = Facts(row for row in fill(database) if row["workspace_id"] == DEFAULT)
        key = api_keys.create_key(database, workspace="default", member="x", name="x")[0]
        with running_service(Settings(META_ADS_REQUESTS_PER_MINUTE=1_000_000), database) as service:
            session = requests.Session()
            session.headers["Authorization"] = f"Bearer {key}"
            browser = Browser(service.url)
            browser.sign_in(key)
            yield SimpleNamespace(facts=facts, url=service.url, session=session, browser=browser)


def parameters(query: MetricQuery) -> dict[str, Any]:
    """The question as an address has it."""
    asked = {name: value for name, value in query.model_dump(mode="json").items() if value}
    filters = asked.pop("filters", {})
    return {**asked, **filters}


def rows_of(answer: requests.Response, kind: str) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows with values as the format has them, and the measures that are not available."""
    unavailable = set(filter(None, answer.headers.get("X-Unavailable", "").split(",")))
    if kind == "json":
        return answer.json()["rows"], set(answer.json()["unavailable"])
    if kind == "csv":
        lines = csv.DictReader(io.StringIO(answer.text))
        return [
            {name: value or None for name, value in line.items()} for line in lines
        ], unavailable
    table = (
        pa.ipc.open_stream(answer.content).read_all()
        if kind == "arrow"
        else pq.read_table(io.BytesIO(answer.content))
    )
    return [
        {
            name: column[n].as_py()
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        for n in range(table.num_rows)
    ], unavailable


def time_of(value: Any, breakdown: Breakdown | None) -> Any:
    if value is None or breakdown is None:
        return None
    if breakdown in (Breakdown.WEEKDAY, Breakdown.HOUR_OF_DAY):
        return int(value)
    if isinstance(value, str):
        is_by_clock = breakdown in (Breakdown.HOUR, Breakdown.MINUTE)
        value = (datetime if is_by_clock else date).fromisoformat(value)
    is_instant = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(UTC) if is_instant else value


def number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def check(
    facts: Facts, query: MetricQuery, rows: list[dict[str, Any]], unavailable: set[str]
) -> None:
    by_hand = answer_by_hand(facts, query)
    found: dict[Key, dict[str, Any]] = {}
    for row in rows:
        is_rest = row.get("is_rest") in (True, "true")
        groups = (row[name] for name in query.groups)
        found[(time_of(row.get("time"), query.breakdown), *groups, is_rest)] = row
    assert len(found) == len(rows)
    assert found.keys() == by_hand.keys()
    prefixes = ["", "previous_"] if query.compare else [""]
    for key, row in found.items():
        for measure in set(query.measures) - unavailable:
            values = [value_by_hand(by_hand[key], measure, prefix) for prefix in prefixes]
            for prefix, value in zip(prefixes, values, strict=True):
                same(number(row[prefix + measure]), value)
            if query.compare and None not in values and values[1]:
                change = number(row[f"change_{measure}"])
                assert change is not None
                by_hand_change = 100 * (values[0] - values[1]) / values[1]
                assert abs(change - by_hand_change) < tolerance(values[0], values[1])
        for measure in unavailable & set(query.measures):
            if measure not in LAYER.ratios:
                assert row[measure] is None


def tolerance(now: Decimal, before: Decimal) -> Decimal:
    """Of a change, in percent, that is made of two values with six digits behind the point."""
    return Decimal("1e-5") + Decimal("1e-4") / abs(before) * (1 + abs(now / before))


def same(found: Decimal | None, by_hand: Decimal | None) -> None:
    if found is None or by_hand is None:
        assert found == by_hand
    else:
        assert abs(found - by_hand) <= Decimal("5e-7")


@given(query=whole_questions(), kind=st.sampled_from(FORMATS))
@settings(max_examples=40)
def test_every_format_has_the_sums_of_the_facts(world: Any, query: MetricQuery, kind: str) -> None:
    if kind == "json":
        query = query.model_copy(update={"limit": 10_000})
    answer = world.session.get(
        f"{world.url}/workspaces/default/metrics", params={**parameters(query), "format": kind}
    )
    assert answer.status_code == 200, answer.text
    rows, unavailable = rows_of(answer, kind)
    check(world.facts, query, rows, unavailable)


@given(query=whole_questions())
@settings(max_examples=15)
def test_an_assistant_is_told_the_sums_of_the_facts(world: Any, query: MetricQuery) -> None:
    arguments = query.model_dump(mode="json", exclude={"offset"}) | {"limit": 500}
    answer = world.session.post(
        f"{world.url}/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call",
              "params": {"name": "query_metrics", "arguments": arguments}},
        headers={"Accept": "application/json, text/event-stream"},
    ).json()["result"]  # fmt: skip
    assert not answer.get("isError"), answer
    body = json.loads(answer["content"][0]["text"])
    if body["total_rows"] <= 500:
        check(world.facts, query, body["rows"], set(body["unavailable"]))


@given(
    level=st.sampled_from(["account", "campaign", "adset", "ad"]),
    currency=st.sampled_from(["EUR", "USD", "INR"]),
    timezone=st.sampled_from(TIMEZONES),
    start=st.dates(FIRST, LAST),
    days=st.integers(0, 9),
)
@settings(max_examples=15)
def test_the_dashboards_file_has_the_sums_of_the_facts(
    world: Any, level: str, currency: str, timezone: str, start: date, days: int
) -> None:
    query = MetricQuery(
        start=start, end=start + timedelta(days), measures=COLUMNS, group_by=(level,),
        filters={"currency": (currency,)}, timezone=timezone,
    )  # fmt: skip
    answer = world.browser.get(
        f"/ads?start={query.start}&end={query.end}&level={level}&currency={currency}"
        f"&timezone={timezone}&format=csv"
    )
    rows, _ = rows_of(answer, "csv")
    other_calendar = {
        name for name in COLUMNS
        if any(row[name] is None for row in rows) and name in LAYER.ratios
        and timezone != "account"
        and len({LAYER.sums[part].known_by for part in LAYER.parts(name)}) > 1
    }  # fmt: skip
    check(world.facts, query, rows, other_calendar)


@pytest.mark.parametrize("account", ["1", "2", "3"])
def test_an_explained_number_is_the_sum_of_its_facts(world: Any, account: str) -> None:
    for day in (FIRST, date(2026, 10, 25), date(2026, 11, 1)):
        for measure in ("spend", "revenue", "impressions", "leads"):
            answer = world.session.get(
                f"{world.url}/workspaces/default/trust/explain",
                params={"account": account, "date": str(day), "measure": measure},
            )
            if measure not in ("spend", "revenue"):  # of which the small marts have no totals
                assert answer.status_code == 404
                continue
            values = [
                fact[measure] for fact in world.facts
                if fact["account_id"] == account and fact["event_date"] == day
                and fact["source"] == "insights" and fact[measure] is not None
            ]  # fmt: skip
            served = number(answer.json()["served_value"])
            assert served == (sum(values) if values else None), answer.text

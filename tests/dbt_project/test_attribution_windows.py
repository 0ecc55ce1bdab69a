"""Attribution windows from the API to the mart: exact where asked, null where not."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.attribution import LIVE_WINDOWS
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.server import SimulatorServer
from tests.insights_reading import read_insights

from .warehouse import PROJECT, Warehouse, failures, tables_behind

MODELS = ("stg_meta__slices", "int_meta__conversions", "conversions_daily")
COLUMNS = ", ".join(f"value_{name}" for name in LIVE_WINDOWS)
FILLED = f"num_nonnulls({COLUMNS}) = {len(LIVE_WINDOWS)}"


def _run(warehouse: Warehouse, *arguments: str) -> None:
    result = warehouse.dbt("run", "--select", *MODELS, *arguments)
    assert result.success, failures(result)


def _mart(warehouse: Warehouse) -> dict[tuple[Any, ...], tuple[Decimal, ...]]:
    rows = warehouse.rows(
        f"select event_date, ad_id, unit, action_type, value, {COLUMNS}"
        " from marts.conversions_daily"
    )
    return {tuple(row.values())[:4]: tuple(row.values())[4:] for row in rows}


def _days(warehouse: Warehouse, condition: str) -> set[date]:
    """The dates all of whose rows fulfil it."""
    rows = warehouse.rows(
        f"select event_date from marts.conversions_daily group by 1 having bool_and({condition})"
    )
    return {row["event_date"] for row in rows}


_FIELDS = (
    ("count", "actions"),
    ("count", "conversions"),
    ("amount", "action_values"),
    ("amount", "conversion_values"),
)


def test_windows_come_to_the_mart_exactly_and_an_old_table_takes_them(
    warehouse: Warehouse, simulator: SimulatorServer
) -> None:
    today = simulator.control.now().date()
    first, second, without = (today - timedelta(days=back) for back in (4, 3, 2))
    said: list[dict[str, Any]] = []
    for days, windows in (((first, second), LIVE_WINDOWS), ((without,), ())):
        with MetaAdsClient(
            access_token=DEFAULT_TOKEN, graph_url=simulator.url, attribution_windows=windows
        ) as client:
            account = pull_ad_accounts(
                warehouse.database, client, ctx=PullContext(str(days), "run")
            )[0]
            for asset in ("insights_hourly", "insights_daily", "account_totals"):
                context = PullContext(str(days), "run")
                pull_insights(warehouse.database, client, account, asset, days, context)
            account_ref = AccountRef(account.account_id, account.timezone, account.currency)
            if windows:
                said = read_insights(
                    client, account_ref, days[0], days[-1], level="ad", grain="day"
                ).rows
    warehouse.build(tests=False, models=tables_behind("conversions_daily"))

    expected = {}
    for row in said:
        for unit, field in _FIELDS:
            for item in row.get(field, ()):
                key = (date.fromisoformat(row["date_start"]), row["ad_id"], unit)
                expected[*key, item["action_type"]] = tuple(
                    Decimal(item.get(name, 0)) for name in ("value", *LIVE_WINDOWS)
                )
    found = _mart(warehouse)
    asked = {key: values for key, values in found.items() if key[0] != without}
    assert len(asked) > 20
    assert {key: expected[key] for key in asked} == asked
    unasked = [values[1:] for key, values in found.items() if key[0] == without]
    assert set(unasked) == {(None,) * len(LIVE_WINDOWS)}
    assert any(values[4] > 0 for values in asked.values())  # some viewed,
    assert any(values[4] == 0 for values in asked.values())  # some not, and that is known

    # A database that was built before there were windows.
    for table in ("intermediate.int_meta__conversions", "marts.conversions_daily"):
        dropped = ", ".join(f"drop column value_{name}" for name in LIVE_WINDOWS)
        warehouse.execute(f"alter table {table} {dropped}")
    span = ("--event-time-start", str(second), "--event-time-end", str(second + timedelta(days=1)))
    _run(warehouse, *span)
    assert _days(warehouse, FILLED) == {second}
    assert _days(warehouse, f"num_nonnulls({COLUMNS}) = 0") == {first, without}
    _run(warehouse)  # the command of docs/marts
    assert _mart(warehouse) == found
    _run(warehouse, "--full-refresh")
    assert _mart(warehouse) == found


def test_dbt_and_the_pull_name_the_same_windows() -> None:
    text = (PROJECT / "macros" / "attribution.sql").read_text()
    assert f"return({list(LIVE_WINDOWS)})" in text

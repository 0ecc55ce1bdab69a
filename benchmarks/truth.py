"""Is what the database holds what the simulator has? Differences in words; none is the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.insights_tables import ALL_INSIGHTS_TABLES
from meta_ads_pipeline.windows import DateWindow
from meta_graph_simulator.http.control_client import ControlClient

Numbers: TypeAlias = tuple[Decimal, int, int, int]
"""Spend in major units, impressions, clicks, link clicks."""
NOTHING: Numbers = (Decimal(0), 0, 0, 0)

Conversions: TypeAlias = tuple[Decimal, ...]
"""Purchases, revenue in major units, leads."""
MEASURES = ("purchases", "revenue", "leads")
NO_CONVERSIONS: Conversions = (Decimal(0),) * 3

_SUMS = (
    "sum(spend) as spend, sum(impressions) as impressions, sum(clicks) as clicks,"
    " coalesce(sum(link_clicks), 0) as link_clicks"
)
_BY_AD = ("raw.insights_hourly", "raw.insights_daily")
_BY_ACCOUNT = ("raw.account_totals",)


def raw_differences(
    database: Database, control: ControlClient, account_ids: Sequence[str], window: DateWindow
) -> list[str]:
    """Ad by ad and day by day in the hours and the days, day by day in the account's totals."""
    found: list[str] = []
    for account_id in account_ids:
        for by_ad, tables in ((True, _BY_AD), (False, _BY_ACCOUNT)):
            expected = _truth(control, account_id, window, by_ad=by_ad)
            for table in tables:
                held = _held(database, table, account_id, window, by_ad=by_ad)
                found += _differences(f"{table} of act_{account_id}", expected, held)
    return found


def marts_differences(
    database: Database, control: ControlClient, account_ids: Sequence[str], window: DateWindow
) -> list[str]:
    """Day by day in ``marts.account_daily``, ad by ad and day by day in ``marts.ad_daily``."""
    found: list[str] = []
    for account_id in account_ids:
        for by_ad, table in ((False, "marts.account_daily"), (True, "marts.ad_daily")):
            expected = _truth(control, account_id, window, by_ad=by_ad)
            held = _held(database, table, account_id, window, by_ad=by_ad)
            found += _differences(f"{table} of act_{account_id}", expected, held)
    return found


def conversion_differences(
    database: Database, control: ControlClient, account_ids: Sequence[str], window: DateWindow
) -> list[str]:
    """Purchases, revenue and leads, ad by ad in ``marts.ad_daily``, summed in ``account_daily``."""
    found: list[str] = []
    for account_id in account_ids:
        by_ad: dict[tuple[str, ...], Conversions] = {}
        by_day: dict[tuple[str, ...], Conversions] = {}
        for row in control.truth(account_id, window.start, window.end, by_ad=True):
            conversions = _conversions(row)
            by_ad[row["date"], row["ad_id"]] = conversions
            sums = by_day.get((row["date"],), NO_CONVERSIONS)
            by_day[row["date"],] = tuple(a + b for a, b in zip(sums, conversions, strict=True))
        for table, key, expected in (
            ("marts.ad_daily", "event_date::text, ad_id", by_ad),
            ("marts.account_daily", "event_date::text", by_day),
        ):
            query = (
                f"select {key}, coalesce(purchases, 0) as purchases,"
                f" coalesce(revenue, 0) as revenue, coalesce(leads, 0) as leads from {table}"
                " where account_id = %s and event_date between %s and %s"
            )
            with database.connect() as connection:
                rows = connection.execute(
                    query.encode(), [account_id, window.start, window.end]
                ).fetchall()
            held = {
                tuple(row[name] for name in row if name not in MEASURES): tuple(
                    row[name] for name in MEASURES
                )
                for row in rows
            }
            found += _differences(f"{table} of act_{account_id}", expected, held, NO_CONVERSIONS)
    return found


def doubled_rows(database: Database) -> int:
    """How many rows of the facts and the daily rollups share their key with another."""
    keys = {
        "metric_facts": "natural_key, event_date",
        "account_daily": "account_id, event_date",
        "ad_daily": "account_id, ad_id, event_date",
        "conversions_daily": "event_date, ad_id, conversion",
    }
    with database.connect() as connection:
        counts = [
            connection.execute(
                f"select count(*) - count(distinct ({key})) as n from marts.{table}".encode()
            ).fetchone()
            for table, key in keys.items()
        ]
    return sum(row["n"] for row in counts if row is not None)


def fetched_more_than_once(database: Database) -> int:
    """How many slices were loaded from a pull again under the sync that had done them.

    Entities are read once more where facts that came later name some that nobody had read: a load
    that brought some is not counted.
    """
    with database.connect() as connection:
        row = connection.execute(
            "with pulls as ("
            " select account_id, asset, sync_id, loaded_at, count(*) as slices,"
            "   sum(rows_inserted) as new_rows, asset = any(%(insights)s) as is_insights,"
            "   row_number() over (partition by account_id, asset, sync_id order by loaded_at) nth"
            " from control.slice_loads where sync_id is not null group by 1, 2, 3, 4"
            "), again as ("
            " select 1 as slices from control.slice_loads"
            " where sync_id is not null and asset = any(%(insights)s)"
            " group by account_id, partition_date, asset, sync_id having count(*) > 1"
            " union all"
            " select slices from pulls where not is_insights and nth > 1 and new_rows = 0"
            ") select coalesce(sum(slices), 0) as n from again",
            {"insights": list(ALL_INSIGHTS_TABLES)},
        ).fetchone()
    assert row is not None
    return int(row["n"])


def _truth(
    control: ControlClient, account_id: str, window: DateWindow, *, by_ad: bool
) -> dict[tuple[str, ...], Numbers]:
    rows = control.truth(account_id, window.start, window.end, by_ad=by_ad)
    return {
        (row["date"], row["ad_id"]) if by_ad else (row["date"],): (
            Decimal(row["spend"]),
            int(row["impressions"]),
            int(row["clicks"]),
            int(row["inline_link_clicks"]),
        )
        for row in rows
    }


def _conversions(truth: dict[str, Any]) -> Conversions:
    """As seed ``conversion_actions`` chooses: the first present type, never the sum of several."""

    def first(reported: dict[str, Any], *types: str) -> Decimal:
        return Decimal(next((reported[name] for name in types if name in reported), 0))

    purchases = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase")
    leads = ("lead", "onsite_conversion.lead_grouped", "offsite_conversion.fb_pixel_lead")
    return (
        first(truth["actions"], *purchases),
        first(truth["action_values"], *purchases),
        first(truth["actions"], *leads),
    )


def _held(
    database: Database, table: str, account_id: str, window: DateWindow, *, by_ad: bool
) -> dict[tuple[str, ...], Numbers]:
    key = "event_date::text as day, ad_id" if by_ad else "event_date::text as day"
    query = (
        f"select {key}, {_SUMS} from {table} where account_id = %s"
        f" and event_date between %s and %s group by {'1, 2' if by_ad else '1'}"
    )
    with database.connect() as connection:
        rows = connection.execute(query.encode(), [account_id, window.start, window.end]).fetchall()
    return {(row["day"], row["ad_id"]) if by_ad else (row["day"],): _numbers(row) for row in rows}


def _numbers(row: dict[str, Any]) -> Numbers:
    return (
        Decimal(row["spend"] or 0),
        int(row["impressions"] or 0),
        int(row["clicks"] or 0),
        int(row["link_clicks"]),
    )


def _differences(
    what: str,
    expected: Mapping[tuple[str, ...], tuple[Any, ...]],
    held: Mapping[tuple[str, ...], tuple[Any, ...]],
    nothing: tuple[Any, ...] = NOTHING,
) -> list[str]:
    return [
        f"{what}: {' '.join(key)} has {held.get(key)}, expected {expected.get(key)}"
        for key in sorted(expected.keys() | held.keys())
        if expected.get(key, nothing) != held.get(key, nothing)
    ]

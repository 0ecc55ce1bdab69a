"""Generated accounts and insights queries that several tests of the simulator ask for."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from meta_graph_simulator.accounts.generator import GeneratedAccount, GeneratorConfig
from meta_graph_simulator.insights.run import InsightsQuery

NOW = datetime(2026, 11, 21, 13, 7, tzinfo=UTC)
SINCE, UNTIL = date(2026, 11, 1), date(2026, 11, 14)
HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
LEVELS = ("ad", "adset", "campaign", "account")
COUNTS = ("spend", "impressions", "clicks", "inline_link_clicks")
LISTS = ("actions", "action_values")
ZONES = (
    *("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe"),
    *("UTC", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Chatham"),
)
Row = dict[str, Any]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: datetime = NOW) -> None:
        self.instant = now

    def __call__(self) -> datetime:
        return self.instant


def account(index: int = 0, now: datetime = NOW, **config: Any) -> GeneratedAccount:
    return GeneratedAccount(GeneratorConfig(**{"ads": 20, **config}), index, Clock(now))


def in_market(currency: str, timezone: str, **config: Any) -> GeneratedAccount:
    return account(markets=((currency, timezone),), **config)


def query(**more: Any) -> InsightsQuery:
    """All additive measures of an account over two weeks, unless `more` says otherwise."""
    values = {"since": SINCE, "until": UNTIL, "fields": (*COUNTS, *LISTS), "hide_removed": False}
    return InsightsQuery(**{**values, **more})


def totals(rows: list[Row], keys: tuple[str, ...] = ("value",)) -> dict[str, Decimal]:
    """Sum of every additive measure over the rows; absent ones are absent."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        for name in COUNTS:
            sums[name] += Decimal(row[name])
        for name in LISTS:
            for item in row.get(name, ()):
                for key in keys:
                    sums[f"{name}:{item['action_type']}:{key}"] += Decimal(item.get(key, "0"))
    return {name: value for name, value in sums.items() if value}

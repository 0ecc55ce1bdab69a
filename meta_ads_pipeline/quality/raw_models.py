"""The landed tables as Pandera models: what every row must be, whoever wrote it.

The boundary schemas of ``raw/`` judge one API answer before it lands. These judge the tables
against what else the database knows: the account's timezone and currency, the time of the pull.
Postgres works out those facts (``fact``), with its own timezone data, so that a wrong instant of
the loader is not checked by the code that made it.

Not a rule: link clicks within clicks. Meta counts them apart, and real accounts have ad-days with
more link clicks than clicks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
import pandera.pandas as pa

_ENTITY_STATUSES = ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES"]
_EFFECTIVE_STATUSES = [
    *_ENTITY_STATUSES,
    *("CAMPAIGN_PAUSED", "ADSET_PAUSED", "PENDING_REVIEW", "DISAPPROVED"),
    *("PREAPPROVED", "PENDING_BILLING_INFO"),
]

_WHOLE_UNITS = ["CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"]
"""Currencies of Meta's offset 1: their amounts have no decimals (not ISO 4217)."""

IMPOSSIBLE = "impossible_values"
"""The check that rules about impossible values belong to; the others are of ``schema``."""


def fact(sql: str, rule: str, *, check: str = "schema", warning: bool = False) -> Any:
    """A column that must be true: ``sql`` over the row ``t`` and its account ``a`` says so.

    ``rule`` is what a person reads when it is not, ``check`` the check that it belongs to; a
    ``warning`` does not make that an error.
    """
    metadata = {"sql": f"coalesce({sql}, false)", "check": check, "warning": warning}
    return pa.Field(eq=True, description=rule, metadata=metadata)


def measure() -> Any:
    """A column that is null or not negative."""
    return pa.Field(nullable=True, ge=0, metadata={"check": IMPOSSIBLE})


def each_once(column: str) -> Any:
    """No action type stands twice in a list of actions."""
    return fact(
        f"t.{column} is null or jsonb_typeof(t.{column}) <> 'array'"
        f" or (select count(*) = count(distinct item ->> 'action_type')"
        f" from jsonb_array_elements(t.{column}) as item)",
        f"each action type stands once in {column}",
        check="duplicates",
    )


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


class _Landed(pa.DataFrameModel):
    account_id: str
    is_known_account: bool = fact("a.account_id is not null", "the account is a known one")

    @pa.check("^(account_|campaign_|adset_|ad_)?id$", regex=True, error="is digits")
    @classmethod
    def ids_are_digits(cls, series: pd.Series[Any]) -> pd.Series[Any]:
        """Meta ids are text of digits, without the prefix ``act_``."""
        return series.isin({value for value in series.dropna().unique() if value.isdecimal()})


class _Insights(_Landed):
    event_date: str
    spend: float = measure()  # a float: only its sign is looked at
    impressions: pd.Int64Dtype = measure()
    clicks: pd.Int64Dtype = measure()
    link_clicks: pd.Int64Dtype = measure()
    spend_is_exact: bool = fact(
        "t.spend is null or t.spend = round(t.spend, 2)",
        "spend has at most two decimals: more are the trace of a binary float",
    )
    spend_is_in_units: bool = fact(
        "t.spend is null or t.spend = trunc(t.spend)"
        f" or t.currency <> all('{{{','.join(_WHOLE_UNITS)}}}')",
        "spend is whole in a currency without decimals",
    )
    actions_are_list: bool = fact(
        "t.actions is null or jsonb_typeof(t.actions) = 'array'", "actions is a list or absent"
    )
    actions_differ: bool = each_once("actions")
    clicks_were_seen: bool = fact(
        "t.clicks is null or t.clicks <= coalesce(t.impressions, 0)",
        "clicks are not above impressions",
        check=IMPOSSIBLE,
        warning=True,
    )


class _DailyInsights(_Insights):
    reach: pd.Int64Dtype = measure()
    frequency: float = measure()
    values_are_list: bool = fact(
        "t.action_values is null or jsonb_typeof(t.action_values) = 'array'",
        "action_values is a list or absent",
    )
    values_differ: bool = each_once("action_values")
    has_begun: bool = fact(
        "t.event_date <= (t.pulled_at at time zone t.timezone)::date",
        "the date had begun when it was pulled",
        check=IMPOSSIBLE,
    )


class LandedInsightsHourly(_Insights):
    """``raw.insights_hourly``: ad x account-local hour."""

    campaign_id: str
    adset_id: str
    ad_id: str
    event_hour: pd.Int64Dtype = pa.Field(
        in_range={"min_value": 0, "max_value": 23}, description="event_hour is from 0 to 23"
    )
    hour_flag: str = pa.Field(nullable=True, isin=["repeated", "skipped"])
    starts_its_hour: bool = fact(
        """case
            when t.hour_flag = 'skipped' then
                t.event_at at time zone t.timezone
                between t.event_date + make_interval(hours => t.event_hour)
                and t.event_date + make_interval(hours => t.event_hour + 2)
            else
                date_trunc('hour', t.event_at at time zone t.timezone)
                = t.event_date + make_interval(hours => t.event_hour)
                and date_trunc(
                    'hour', (t.event_at - interval '1 minute') at time zone t.timezone
                ) <> t.event_date + make_interval(hours => t.event_hour)
        end""",
        "event_at is the first instant of the date and hour in the account's timezone",
    )
    has_begun: bool = fact(
        "t.event_at <= t.pulled_at", "the hour had begun when it was pulled", check=IMPOSSIBLE
    )

    class Config:
        """One row per ad and hour."""

        strict = True
        unique = ["event_date", "ad_id", "event_hour"]  # noqa: RUF012 - Pandera's own form


class LandedInsightsDaily(_DailyInsights):
    """``raw.insights_daily``: ad x account-local day."""

    campaign_id: str
    adset_id: str
    ad_id: str

    class Config:
        """One row per ad and day."""

        strict = True
        unique = ["event_date", "ad_id"]  # noqa: RUF012 - Pandera's own form


class LandedAccountTotals(_DailyInsights):
    """``raw.account_totals``: ad account x account-local day."""

    class Config:
        """One row per account and day."""

        strict = True
        unique = ["event_date", "account_id"]  # noqa: RUF012 - Pandera's own form


class LandedAdAccounts(_Landed):
    """``raw.ad_accounts``: current state."""

    currency: str = pa.Field(str_matches=r"^[A-Z]{3}$", description="currency is an ISO 4217 code")
    timezone: str
    has_account_timezone: bool = fact(
        "t.timezone = a.timezone", "timezone is the one that syncs use"
    )
    has_account_currency: bool = fact(
        "t.currency = a.currency", "currency is the one that syncs use"
    )

    @pa.check("timezone", error="is an IANA name")
    @classmethod
    def timezones_exist(cls, series: pd.Series[Any]) -> pd.Series[Any]:
        """Without its timezone an account has no dates."""
        return series.isin({name for name in series.dropna().unique() if _is_timezone(name)})

    class Config:
        """One row per account."""

        strict = True
        unique = ["account_id"]  # noqa: RUF012 - Pandera's own form


class _Entities(_Landed):
    id: str
    status: str = pa.Field(
        nullable=True,
        isin=_ENTITY_STATUSES,
        description="status is a known one",
        metadata={"warning": True},
    )
    effective_status: str = pa.Field(
        nullable=True,
        isin=_EFFECTIVE_STATUSES,
        description="effective_status is a known one",
        metadata={"warning": True},
    )
    is_in_order: bool = fact(
        "t.first_seen_at <= t.changed_at and t.changed_at <= t.pulled_at",
        "it was first seen, then changed, then pulled",
    )

    class Config:
        """One row per object."""

        strict = True
        unique = ["id"]  # noqa: RUF012 - Pandera's own form


class LandedCampaigns(_Entities):
    """``raw.campaigns``: current state, deleted ones included."""


class LandedAdsets(_Entities):
    """``raw.adsets``: current state, deleted ones included."""

    campaign_id: str


class LandedAds(_Entities):
    """``raw.ads``: current state, deleted ones included."""

    campaign_id: str
    adset_id: str


class LandedCreatives(_Entities):
    """``raw.creatives``: current state."""


@dataclass(frozen=True)
class LandedTable:
    """A table with its model, what names a row, and the column it is read by, piece by piece."""

    asset: str
    model: type[pa.DataFrameModel]
    key: tuple[str, ...]
    bucket: str


LANDED_TABLES: Mapping[str, LandedTable] = {
    table.asset: table
    for table in (
        LandedTable("ad_accounts", LandedAdAccounts, ("account_id",), "account_id"),
        LandedTable(
            "insights_hourly",
            LandedInsightsHourly,
            ("account_id", "event_date", "ad_id", "event_hour"),
            "event_date",
        ),
        LandedTable(
            "insights_daily",
            LandedInsightsDaily,
            ("account_id", "event_date", "ad_id"),
            "event_date",
        ),
        LandedTable(
            "account_totals", LandedAccountTotals, ("account_id", "event_date"), "event_date"
        ),
        LandedTable("campaigns", LandedCampaigns, ("account_id", "id"), "account_id"),
        LandedTable("adsets", LandedAdsets, ("account_id", "id"), "account_id"),
        LandedTable("ads", LandedAds, ("account_id", "id"), "account_id"),
        LandedTable("creatives", LandedCreatives, ("account_id", "id"), "account_id"),
    )
}

"""The marts that an export is compared with, as tables of the contract's columns, and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.verify.headings import MEASURES, headings_of

FIRST = date(2026, 11, 9)
ACCOUNT = Account("77", "Europe/Berlin", "EUR", "Acme Schuhe")

_MEASURES = """spend numeric, impressions bigint, clicks bigint, link_clicks bigint,
    purchases numeric, revenue numeric, leads numeric, conversions numeric"""
_TABLES = f"""
create table marts.account_daily (provider text not null, account_id text not null,
    event_date date not null, currency text not null, {_MEASURES});
create table marts.campaign_daily (provider text not null, account_id text not null,
    campaign_id text not null, event_date date not null, currency text not null, {_MEASURES});
create table marts.adset_daily (provider text not null, account_id text not null,
    campaign_id text, adset_id text not null, event_date date not null, currency text not null,
    {_MEASURES});
create table marts.ad_daily (provider text not null, account_id text not null, campaign_id text,
    adset_id text, ad_id text not null, event_date date not null, currency text not null,
    {_MEASURES});
drop table marts.metric_facts;
create table marts.metric_facts (provider text not null, account_id text not null,
    campaign_id text, adset_id text, ad_id text not null, grain text not null,
    event_date date not null, event_hour smallint, {_MEASURES});
create table marts.dim_campaigns (campaign_id text primary key, account_id text, name text);
create table marts.dim_adsets (adset_id text primary key, account_id text, name text);
create table marts.dim_ads (ad_id text primary key, account_id text, name text);
"""


@dataclass
class Day:
    """What one ad did on one date."""

    ad: str
    day: date
    values: dict[str, Any]


@dataclass
class Marts:
    """Two campaigns, three ad sets, four ads over three days; every value differs.

    ``names`` may be changed before ``build``. Campaign 201 has ads 401 to 403, 202 has 404.
    """

    database: Database
    account: Account = ACCOUNT
    names: dict[str, str] = field(
        default_factory=lambda: {
            **{"201": "Herbst; Größe 42", "202": 'Sale "Now"'},
            **{"301": "Broad", "302": "Lookalike", "303": "Broad"},
            **{"401": "Video", "402": "Image", "403": "Video", "404": "Video"},
        }
    )
    parents: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {
            **{"401": ("201", "301"), "402": ("201", "301"), "403": ("201", "302")},
            **{"404": ("202", "303")},
        }
    )
    days: list[Day] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, ad in enumerate(self.parents, start=1):
            for offset in range(3):
                weight = number * 10 + offset
                self.days.append(
                    Day(
                        ad,
                        FIRST + timedelta(days=offset),
                        {
                            "spend": Decimal(weight * 137) + Decimal("0.42"),
                            "impressions": weight * 1009,
                            "clicks": weight * 21,
                            "link_clicks": weight * 13,
                            "purchases": Decimal(weight) if number < 4 else None,
                            "revenue": Decimal(weight * 59) + Decimal("0.5")
                            if number < 4
                            else None,
                            "leads": None if number < 4 else Decimal(3),
                        },
                    )
                )

    def build(self) -> None:
        """Create the tables and fill every level from the ads."""
        with self.database.connect() as connection:
            connection.execute(_TABLES.encode())
            save_accounts(connection, [self.account])
            for table, prefix in (("campaign", "2"), ("adset", "3"), ("ad", "4")):
                connection.cursor().executemany(
                    f"insert into marts.dim_{table}s values (%s, %s, %s)".encode(),
                    [
                        (key, self.account.account_id, name)
                        for key, name in self.names.items()
                        if key.startswith(prefix)
                    ],
                )
            for level in ("account", "campaign", "adset", "ad"):
                for row in self.rows(level):
                    levels = ("account", "campaign", "adset", "ad")
                    keys = [f"{each}_id" for each in levels[1 : levels.index(level) + 1]]
                    named = {
                        "provider": "meta",
                        "account_id": self.account.account_id,
                        "currency": self.account.currency,
                        **{key: row[key] for key in keys},
                        **{key: row[key] for key in ("event_date", *MEASURES)},
                    }
                    connection.execute(
                        (
                            f"insert into marts.{level}_daily ({', '.join(named)}) values "
                            f"({', '.join(['%s'] * len(named))})"
                        ).encode(),
                        list(named.values()),
                    )

    def hours(self, level: str) -> list[dict[str, Any]]:
        """The rows of one level by hour: a third of each day at 9:00, the rest at 20:00."""
        hours = []
        for row in self.rows(level):
            for hour, share in ((9, 1), (20, 2)):
                values = {name: row[name] * share / 3 for name in ("spend",)}
                for name in ("impressions", "clicks", "link_clicks"):
                    third = row[name] // 3
                    values[name] = third if hour == 9 else row[name] - third
                hours.append(
                    {
                        **row,
                        **{"purchases": None, "revenue": None, "leads": None},
                        **values,
                        "spend": Decimal(values["spend"]).quantize(Decimal("0.01")),
                        "hour": f"{hour:02}:00:00 - {hour:02}:59:59",
                        "event_hour": hour,
                    }
                )
        return hours

    def build_hours(self) -> None:
        """Fill the facts by hour, from the ads."""
        named = ("campaign_id", "adset_id", "ad_id", "event_date", "event_hour")
        named += ("spend", "impressions", "clicks", "link_clicks")
        with self.database.connect() as connection:
            connection.cursor().executemany(
                f"insert into marts.metric_facts (provider, account_id, grain, {', '.join(named)})"
                f" values ('meta', '77', 'hour', {', '.join(['%s'] * len(named))})".encode(),
                [[row[name] for name in named] for row in self.hours("ad")],
            )

    def rows(self, level: str) -> list[dict[str, Any]]:
        """The rows of one level with ids and names, summed over the ads, by date and object."""
        summed: dict[tuple[date, str], dict[str, Any]] = {}
        for each in self.days:
            campaign, adset = self.parents[each.ad]
            own = {"account": "", "campaign": campaign, "adset": adset, "ad": each.ad}[level]
            row = summed.setdefault(
                (each.day, own),
                {
                    **{"event_date": each.day, "account_name": self.account.name},
                    **{"campaign_id": campaign, "campaign_name": self.names[campaign]},
                    **{"adset_id": adset, "adset_name": self.names[adset]},
                    **{"ad_id": each.ad, "ad_name": self.names[each.ad]},
                    **dict.fromkeys(MEASURES),
                },
            )
            for measure in MEASURES:
                if each.values[measure] is not None:
                    row[measure] = (row[measure] or 0) + each.values[measure]
        return [summed[key] for key in sorted(summed)]


def export(
    rows: Sequence[Mapping[str, Any]],
    fields: Sequence[str],
    *,
    language: str = "en",
    currency: str | None = "EUR",
    separator: str = ",",
    decimal: str = ".",
    grouping: str = "",
    day: str = "%Y-%m-%d",
    totals: str | None = None,
) -> str:
    """``rows`` as Ads Manager writes them; ``fields`` are ours, ``day`` from ``event_date``.

    ``totals`` is ``first`` or ``last``: where the row with the sums stands.
    """
    headings = headings_of(language)
    titles = [
        f"{headings[name]} ({currency})" if name == "spend" and currency else headings[name]
        for name in fields
    ]

    def cell(row: Mapping[str, Any], name: str) -> str:
        value = row.get({"day": "event_date", "starts": "start", "ends": "end"}.get(name, name))
        if value is None:
            return ""
        if isinstance(value, date):
            return value.strftime(day)
        if name in ("spend", "revenue"):
            return localized(f"{value:,.2f}", decimal, grouping)
        if name in MEASURES:
            return localized(f"{value:,}", decimal, grouping)
        return str(value)

    lines = [[cell(row, name) for name in fields] for row in rows]
    if totals:
        summed = {
            name: sum(row[name] for row in rows if row[name] is not None)
            for name in fields
            if name in MEASURES
        }
        lines.insert(
            0 if totals == "first" else len(lines), [cell(summed, name) for name in fields]
        )
    return "".join(
        separator.join(f'"{text.replace(chr(34), chr(34) * 2)}"' for text in line) + "\r\n"
        for line in [titles, *lines]
    )


def localized(number: str, decimal: str, grouping: str) -> str:
    """``number`` as Python writes it (``1,234.56``) with the signs of a locale."""
    return number.replace(",", "\0").replace(".", decimal).replace("\0", grouping)

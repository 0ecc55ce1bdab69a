"""The same total at every level: pull = facts, hour = day, ad = ad set = campaign = account.

By account, date and measure. What the three pulls say among each other is the reconciliation's
business; this is about what became of them on the way to each table that people read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pandera.pandas as pa

from meta_ads_pipeline.control.check_results import HOLDS_BACK, DayResult
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.outcome import CheckOutcome, judged, query_rows
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import MAX_CASES, day_ranges, table_of

DELIVERY = ("spend", "impressions", "clicks", "link_clicks")
CONVERSIONS = ("purchases", "revenue", "leads", "conversions")
HOURLY = ("account_hourly", "campaign_hourly")
DAILY = ("account_daily", "campaign_daily", "adset_daily", "ad_daily")


class LevelTotals(pa.DataFrameModel):
    """Account x date x measure, with whether each table has the total of the facts."""

    account_id: str
    event_date: object
    measure: str
    pull: bool = pa.Field(eq=True, description="the hours that were pulled sum to the facts")
    account_hourly: bool = pa.Field(eq=True, description="account_hourly sums to the facts")
    campaign_hourly: bool = pa.Field(eq=True, description="campaign_hourly sums to the facts")
    account_daily: bool = pa.Field(eq=True, description="account_daily is the sum of the facts")
    campaign_daily: bool = pa.Field(eq=True, description="campaign_daily sums to the facts")
    adset_daily: bool = pa.Field(eq=True, description="adset_daily sums to the facts")
    ad_daily: bool = pa.Field(eq=True, description="ad_daily sums to the facts")

    class Config:
        """Totals beside the flags are for people."""

        strict = "filter"


def check_levels(database: Database, scope: CheckScope) -> CheckOutcome:
    """Compare the totals of every table that has them, to the last unit of the measure.

    Against the pull only where it may be in the facts: not on account-days that are held back, or
    that another run has pulled since. Raises ``DatabaseError`` when the server cannot be reached.
    """
    rows = compared(query_rows(database, _totals_query(), scope))
    found = judged(LevelTotals, rows, ("account_id", "event_date", "measure"))
    bad = [row for row in rows if row["differing"]]
    days = {(row["account_id"], row["event_date"]): "passed" for row in rows}
    account_days = len(days)
    metadata: dict[str, Any] = {}
    if bad:
        metadata["bad_days"] = day_ranges(row["event_date"] for row in bad)
        metadata["totals_that_differ"] = table_of(_shown(row) for row in bad[:MAX_CASES])
    metadata["totals_by_level"] = _by_level(rows)
    metadata["account_days"] = account_days
    return CheckOutcome(
        found.passed,
        f"the totals of {account_days} account-days are the same at every level"
        if found.passed
        else f"{len({(r['account_id'], r['event_date']) for r in bad})} of {account_days}"
        f" account-days differ between levels: {', '.join(sorted(_tables_differing(bad)))}",
        metadata,
        _day_results(rows),
    )


def compared(totals: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each account, date and measure: totals by table, and flags of equality. Pure.

    ``totals`` has a row for each account, date and table ("facts", "pull", a rollup), with the
    measures as columns; "pull" is there only where it may be compared. An absent total is null,
    and differs from 0.
    """
    by_day: dict[tuple[str, Any], dict[str, Mapping[str, Any]]] = {}
    for row in totals:
        by_day.setdefault((row["account_id"], row["event_date"]), {})[row["relation"]] = row
    rows = []
    for (account_id, day), tables in sorted(by_day.items()):
        for measure in (*DELIVERY, *CONVERSIONS):
            said: dict[str, Decimal | None] = {
                table: tables.get(table, {}).get(measure) for table in _TABLES
            }
            judged_tables = {
                *DAILY,
                *(HOURLY if measure in DELIVERY else ()),
                *(("pull",) if measure in DELIVERY and "pull" in tables else ()),
            }
            differing = {table for table in judged_tables if said[table] != said["facts"]}
            rows.append(
                {
                    "account_id": account_id,
                    "event_date": day,
                    "measure": measure,
                    "totals": said,
                    "differing": differing,
                    **{table: table not in differing for table in _TABLES if table != "facts"},
                }
            )
    return rows


_TABLES = ("pull", "facts", *HOURLY, *DAILY)


def _tables_differing(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {table for row in rows for table in row["differing"]}


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "account": f"act_{row['account_id']}",
        "date": row["event_date"],
        "measure": row["measure"],
        **{
            _NAMES[table]: (
                f"{_told(total)} (differs)" if table in row["differing"] else _told(total)
            )
            for table, total in row["totals"].items()
        },
    }


_NAMES = {
    "pull": "pulled hours",
    "facts": "facts",
    "account_hourly": "account by hour",
    "campaign_hourly": "campaigns by hour",
    "account_daily": "account",
    "campaign_daily": "campaigns",
    "adset_daily": "ad sets",
    "ad_daily": "ads",
}


def _told(total: Decimal | None) -> str:
    return "none" if total is None else f"{total:,}"


def _by_level(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Totals of the counts over everything looked at; money is left out, currencies differ."""
    return table_of(
        {
            "measure": measure,
            **{
                _NAMES[table]: _told(
                    sum(
                        (
                            row["totals"][table] or Decimal(0)
                            for row in rows
                            if row["measure"] == measure
                        ),
                        Decimal(0),
                    )
                )
                for table in _TABLES
                if table != "pull" and (measure in DELIVERY or table not in HOURLY)
            },
        }
        for measure in ("impressions", "clicks", "link_clicks")
    )


def _day_results(rows: Sequence[Mapping[str, Any]]) -> list[DayResult]:
    by_day: dict[tuple[str, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_day.setdefault((row["account_id"], row["event_date"]), []).append(row)
    results = []
    for account_day, measures in by_day.items():
        bad = [row for row in measures if row["differing"]]
        if not bad:
            results.append(DayResult(*account_day, "passed"))
            continue
        worst = bad[0]
        results.append(
            DayResult(
                *account_day,
                "failed",
                violations=len(bad),
                observed=", ".join(
                    f"{_NAMES[table]} {_told(worst['totals'][table])}"
                    for table in _TABLES
                    if table in worst["differing"]
                ),
                expected=f"{worst['measure']} {_told(worst['totals']['facts'])}, as in the facts",
                message="; ".join(
                    f"{row['measure']} differs in"
                    f" {', '.join(_NAMES[t] for t in _TABLES if t in row['differing'])}"
                    for row in bad
                ),
            )
        )
    return results


def _totals_query() -> str:
    in_scope = "t.account_id = any(%(accounts)s) and t.event_date between %(start)s and %(end)s"
    measures = ", ".join(f"sum(t.{name})::numeric as {name}" for name in (*DELIVERY, *CONVERSIONS))
    parts = [
        f"select '{relation}' as relation, t.account_id, t.event_date, {measures}"
        f" from marts.{table} as t where {in_scope} and t.provider = 'meta' group by 2, 3"
        for relation, table in (("facts", "metric_facts"), *((name, name) for name in _ROLLUPS))
    ]
    delivery = ", ".join(f"sum(t.{name})::numeric" for name in DELIVERY)
    nothing = ", ".join(["null::numeric"] * len(CONVERSIONS))
    parts.append(
        f"select 'pull', t.account_id, t.event_date, {delivery}, {nothing}"
        f" from raw.insights_hourly as t where {in_scope}"
        " and (t.account_id, t.event_date) in (select account_id, event_date from moved)"
        " group by 2, 3"
    )
    moved = (
        "select r.account_id, r.event_date from marts.reconciliation as r"
        " where r.account_id = any(%(accounts)s) and r.event_date between %(start)s and %(end)s"
        "   and not exists (select from control.check_results as held"
        "     where held.account_id = r.account_id and held.event_date = r.event_date"
        f"     and {HOLDS_BACK})"
        "   and not exists (select from control.slices as s where s.account_id = r.account_id"
        "     and s.partition_date = r.event_date and s.asset = 'insights_hourly'"
        "     and s.finished_at > %(started_at)s and s.run_id is distinct from %(run)s)"
        " group by 1, 2 having bool_and(r.status in ('reconciled', 'within_tolerance'))"
    )
    return f"with moved as materialized ({moved}) " + " union all ".join(parts)


_ROLLUPS = (*HOURLY, *DAILY)

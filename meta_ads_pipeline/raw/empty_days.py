"""A past day that had rows and is answered with none: asked in another way before it is emptied.

Meta takes back single rows, hardly ever a whole day; an answer without any is more often a moment's
failure that looks like success, and all pulls may get it. So the day is asked at the other level;
where that has rows the answer was wrong. Where that has none either, the day is still kept until
several pulls, minutes to hours apart, have said the same: pulls that failed before they had both
answers say nothing of the day. ``alerting/watch.py`` tells of both.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from meta_ads_pipeline.control import slice_audit
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.insights_tables import InsightsTable, Level
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext, account_ref
from meta_ads_pipeline.raw.failures import (
    EMPTY_ANSWER,
    EMPTY_DAY,
    EmptyAnswerError,
    EmptyDayError,
)
from meta_ads_pipeline.raw.load import PulledRows
from meta_ads_pipeline.windows import DateWindow, local_today

PULLS_UNTIL_EMPTY = 7
"""Pulls in a row that must find a day empty before its rows go: by the sensor's growing delays five
hours (``control/retry_delays.py``), longer than Meta's usual troubles."""


def emptied_days(
    database: Database, account: Account, table: InsightsTable, pulled: PulledRows, now: datetime
) -> set[date]:
    """The past account-local days of an answer that has no row for them, though the table has."""
    if table.has_periods:
        return set()
    today = local_today(account.timezone, now)
    answered = {_date_of(row) for row in pulled.rows}
    odd = any(not isinstance(row, dict) for row in pulled.rows)
    empty = [d for d in pulled.dates if d < today and d.isoformat() not in answered]
    if not empty or odd:  # what cannot be read is no news that there is nothing
        return set()

    def held(connection: Connection) -> set[date]:
        rows = connection.execute(
            f"select distinct event_date from {table.name}"
            " where account_id = %s and event_date = any(%s)",
            [account.account_id, empty],
        ).fetchall()
        return {row["event_date"] for row in rows}

    return database.run(held)


def confirm_empty(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    table: InsightsTable,
    window: DateWindow,
    ctx: PullContext,
) -> dict[date, EmptyAnswerError]:
    """Why days of the window keep their rows; those that are not in it are to be emptied.

    Raises ``MetaApiError`` when the other way cannot be read.
    """
    other: Level = "account" if table.level == "ad" else "ad"
    with ctx.prioritized():
        parts = client.iter_insights(
            account_ref(account), window.start, window.end, level=other, grain="day"
        )
        found = {_date_of(row) for part in parts for row in part.rows}
    # A row of no date that was asked for may be of any of them.
    has_odd = not found <= {day.isoformat() for day in window.dates}
    key = SliceKey(account.account_id, table.asset)
    before = database.run(
        lambda connection: slice_audit.failures_in_a_row(
            connection, key, window.dates, EMPTY_DAY, ended_by=EMPTY_ANSWER
        )
    )
    kept: dict[date, EmptyAnswerError] = {}
    for day in window.dates:
        where = f"{table.asset} of act_{account.account_id} on {day}"
        times = before.get(day, 0) + 1
        if has_odd or day.isoformat() in found:
            kept[day] = EmptyAnswerError(
                f"{where}: no rows, though Meta has some by {other}. The landed rows are kept"
            )
        elif times < PULLS_UNTIL_EMPTY:
            kept[day] = EmptyDayError(
                f"{where}: no rows, where there were some. They are kept until "
                f"{PULLS_UNTIL_EMPTY} pulls in a row say so (this was number {times})"
            )
    return kept


def _date_of(row: Any) -> str | None:
    """The date that a row says it is of; what is no text, a list for one, is the landing's."""
    value = row.get("date_start") if isinstance(row, dict) else None
    return value if isinstance(value, str) else None

"""A past day that had rows and is answered with none: asked in another way before it is emptied.

Meta takes back single rows, hardly ever a whole day; an answer without any is more often a moment's
failure that looks like success, and all pulls may get it. So the day is asked at the other level;
where that has rows the answer was wrong. Where that has none either, the day is still kept until
several attempts, minutes to hours apart, have said the same. ``alerting/watch.py`` tells of both.
"""

from __future__ import annotations

from datetime import date, datetime

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.insights_tables import InsightsTable, Level
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext, account_ref
from meta_ads_pipeline.raw.failures import EmptyAnswerError
from meta_ads_pipeline.raw.load import PulledRows
from meta_ads_pipeline.windows import local_today

ATTEMPTS_UNTIL_EMPTY = 7
"""Pulls in a row that must find a day empty before its rows go: by the sensor's growing delays five
hours (``control/retry_delays.py``), longer than Meta's usual troubles."""


def emptied_days(
    database: Database, account: Account, table: InsightsTable, pulled: PulledRows, now: datetime
) -> set[date]:
    """The past account-local days of an answer that has no row for them, though the table has."""
    if table.has_periods:
        return set()
    today = local_today(account.timezone, now)
    dates = (row.get("date_start") for row in pulled.rows if isinstance(row, dict))
    # Any other value, a list for one, is the landing's to refuse.
    answered = {each for each in dates if isinstance(each, str)}
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
    day: date,
    ctx: PullContext,
) -> None:
    """Return where the day is to be emptied. Raises ``EmptyAnswerError`` where its rows are kept.

    Raises ``MetaApiError`` when the other way cannot be read.
    """
    other: Level = "account" if table.level == "ad" else "ad"
    with ctx.prioritized():
        parts = client.iter_insights(account_ref(account), day, day, level=other, grain="day")
        rows = sum(len(part.rows) for part in parts)
    key = SliceKey(account.account_id, table.asset)
    tried = database.run(lambda connection: slices.attempts_at(connection, key, [day]))
    attempts = tried.get(day, 1)
    where = f"{table.asset} of act_{account.account_id} on {day}"
    if rows:
        raise EmptyAnswerError(
            f"{where}: no rows, though Meta has some by {other}. The landed rows are kept"
        )
    if attempts < ATTEMPTS_UNTIL_EMPTY:
        raise EmptyAnswerError(
            f"{where}: no rows, where there were some. They are kept until "
            f"{ATTEMPTS_UNTIL_EMPTY} pulls in a row say so (this was number {attempts})"
        )

"""The cheap refresh: days are read first, hours only where the days no longer agree with them.

A read of the whole window by ad and day is a few calls; hours are twenty-four times as many rows.
Meta restates few of the days that it may restate, so most slices of hours need no call: their ads'
hours still add up to what the days say. Only a shift between the hours of one day that leaves every
ad's total as it was stays unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.insights_tables import DAILY_TABLE, HOURLY_TABLE, MEASURES
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

DAYS, HOURS = DAILY_TABLE.asset, HOURLY_TABLE.asset


def confirm_unchanged(
    database: Database, account: Account, dates: Collection[date], ctx: PullContext
) -> list[SliceReport]:
    """Finish the slices of hours that were loaded before and agree with their days, ad by ad.

    Only dates whose days were read under this sync, which is the caller's to do first. The audit
    says unchanged, no rows fetched, no calls; the slices count as pulled when the days were. The
    others are left to be read.
    """
    hours = SliceKey(account.account_id, HOURS)

    def confirm(connection: Connection) -> list[SliceReport]:
        read = slices.pulled_under(
            connection, SliceKey(account.account_id, DAYS), ctx.sync_id, dates
        )
        agreed = _agreeing(connection, account.account_id, read)
        if not agreed:
            return []
        days_pulled = slices.loaded_at(connection, SliceKey(account.account_id, DAYS), agreed)
        held = _rows_held(connection, account.account_id, agreed)
        counts = {day: SliceCounts(unchanged=held.get(day, 0)) for day in agreed}
        slices.finish(
            connection,
            hours,
            counts,
            ctx.attempt,
            pulled_at=min(days_pulled.values()),
            api_calls={},
        )
        return [
            SliceReport.of(account.account_id, day, HOURS, counts[day], api_calls=0)
            for day in agreed
        ]

    return ctx.tell(database.run(confirm))


def _agreeing(connection: Connection, account_id: str, dates: Collection[date]) -> list[date]:
    """The dates whose hours and days were both loaded and are the same in every measure."""
    keys = SliceKey(account_id, HOURS), SliceKey(account_id, DAYS)
    loaded = set.intersection(*({*slices.loaded_at(connection, key, dates)} for key in keys))
    differing = {
        row["event_date"]
        for row in connection.execute(
            sql(
                "days_that_differ",
                measures=", ".join(MEASURES),
                sums=", ".join(f"sum({name}) as {name}" for name in MEASURES),
                of_hours=", ".join(f"coalesce(h.{name}, 0)" for name in MEASURES),
                of_days=", ".join(f"coalesce(d.{name}, 0)" for name in MEASURES),
            ),
            {"account": account_id, "dates": list(loaded)},
        ).fetchall()
    }
    return sorted(loaded - differing)


def _rows_held(connection: Connection, account_id: str, dates: Sequence[date]) -> dict[date, int]:
    rows = connection.execute(
        f"select event_date, count(*)::int as rows from raw.{HOURS}"
        " where account_id = %s and event_date = any(%s) group by 1",
        [account_id, dates],
    ).fetchall()
    return {row["event_date"]: row["rows"] for row in rows}

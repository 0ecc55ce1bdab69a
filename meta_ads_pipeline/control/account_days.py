"""The state of account-days, as ``control.account_days`` derives it: what is not final, and why.

Everything that shows a colour reads it there: checks, partitions, ``meta-ads status``,
``marts.freshness``, and the flags of the marts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date

from meta_ads_pipeline.control.database import Database, has_relation
from meta_ads_pipeline.control.slices import IS_READ_AGAIN
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_REASONS_SHOWN = 5


def undone_dates(database: Database, asset: str, dates: Collection[date]) -> dict[date, str]:
    """The dates on which an active account's slice of ``asset`` is not done, and whose.

    Whatever run left it so, and whichever accounts the present run is about. One that another run
    reads again was done. Raises ``DatabaseError`` when the server cannot be reached.
    """
    return _reasons(database, ["undone_dates"], asset=asset, dates=list(dates))


def unfinished_dates(database: Database, dates: Collection[date]) -> dict[date, str]:
    """The dates whose marts lack an active account, or hold back some of it, and why.

    The reconciliation is read as the build has just left it. Raises ``DatabaseError`` when the
    server cannot be reached.
    """
    with database.connect() as connection:
        is_built = has_relation(connection, "marts.reconciliation")
    statements = ["missing_or_held_dates", *(["mismatched_dates"] if is_built else [])]
    return _reasons(database, statements, dates=list(dates))


def complete_accounts(
    database: Database, asset: str, dates: Collection[date]
) -> dict[str, set[date]]:
    """By account the dates that need no pull to make a date of ``asset`` whole again.

    Only of dates on which another account's slice is not done: there a run that was started over
    them is about those that lack it. What was pulled more than a day ago is pulled again. Raises
    ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        rows = connection.execute(
            sql("complete_accounts"),
            {"asset": asset, "dates": list(dates)},
        ).fetchall()
    found: dict[str, set[date]] = defaultdict(set)
    for row in rows:
        found[row["account_id"]].add(row["partition_date"])
    return found


def _reasons(
    database: Database, statements: Sequence[str], **parameters: object
) -> dict[date, str]:
    """What the statements' rows ``(event_date, account_id, reason)`` say, by date."""
    with database.connect() as connection:
        rows = [
            (row["event_date"], row["account_id"], row["reason"])
            for name in statements
            for row in connection.execute(
                sql(name, is_read_again=IS_READ_AGAIN), parameters
            ).fetchall()
        ]
    said: dict[date, list[str]] = defaultdict(list)
    for day, account_id, reason in sorted(rows, key=lambda row: row[:2]):
        said[day].append(f"act_{account_id}: {reason}")
    return {
        day: "; ".join(reasons[:_REASONS_SHOWN])
        + (f" and {len(reasons) - _REASONS_SHOWN} more" if len(reasons) > _REASONS_SHOWN else "")
        for day, reasons in said.items()
    }

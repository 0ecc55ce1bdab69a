"""The state of account-days, as ``control.account_days`` derives it: what is not final, and why.

Everything that shows a colour reads it there: checks, partitions, ``meta-ads status``,
``marts.freshness``, and the flags of the marts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date

from meta_ads_pipeline.control.database import Database

_REASONS_SHOWN = 5


def undone_dates(database: Database, asset: str, dates: Collection[date]) -> dict[date, str]:
    """The dates on which an active account's slice of ``asset`` is not done, and whose.

    Whatever run left it so, and whichever accounts the present run is about. Raises
    ``DatabaseError`` when the server cannot be reached.
    """
    return _reasons(
        database,
        "select s.partition_date as event_date, s.account_id,"
        " s.status || coalesce(': ' || s.error_message, '') as reason"
        " from control.slices as s"
        " join control.ad_accounts as a on a.account_id = s.account_id and a.is_active"
        " where s.asset = %(asset)s and s.partition_date = any(%(dates)s)"
        "   and s.status in ('failed', 'parked', 'running')"
        " order by 1, 2",
        {"asset": asset, "dates": list(dates)},
    )


def unfinished_dates(database: Database, dates: Collection[date]) -> dict[date, str]:
    """The dates whose marts lack an active account, or hold back some of it, and why.

    The reconciliation is read as the build has just left it. Raises ``DatabaseError`` when the
    server cannot be reached.
    """
    missing = (
        "select event_date, account_id, 'not pulled' as reason from control.account_days"
        " where is_active and state = 'missing' and event_date = any(%(dates)s)"
        " union all"
        " select r.event_date, r.account_id, r.check_name || ' of ' || r.asset"
        " from control.check_results as r"
        " join control.ad_accounts as a on a.account_id = r.account_id and a.is_active"
        " where r.status = 'failed' and r.severity = 'block' and r.asset like 'raw/%%'"
        "   and r.event_date = any(%(dates)s)"
    )
    disagreeing = (
        " union all"
        " select r.event_date, r.account_id, r.measure || ' ' || r.status"
        " from marts.reconciliation as r"
        " join control.ad_accounts as a on a.account_id = r.account_id and a.is_active"
        " where r.status = 'mismatch' and r.event_date = any(%(dates)s)"
    )
    with database.connect() as connection:
        row = connection.execute("select to_regclass('marts.reconciliation') as there").fetchone()
    is_built = row is not None and row["there"] is not None
    query = missing + (disagreeing if is_built else "")
    return _reasons(database, f"{query} order by 1, 2", {"dates": list(dates)})


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
            "select s.account_id, s.partition_date from control.slices as s"
            " join control.account_days as d"
            "   on d.account_id = s.account_id and d.event_date = s.partition_date"
            " where s.asset = %(asset)s and s.partition_date = any(%(dates)s)"
            "   and s.status = 'done' and s.pulled_at >= d.ends_at"
            "   and s.pulled_at > control.current_instant() - interval '1 day'"
            "   and exists (select from control.slices as other"
            "     join control.ad_accounts as a"
            "       on a.account_id = other.account_id and a.is_active"
            "     where other.asset = s.asset and other.partition_date = s.partition_date"
            "       and other.status in ('failed', 'parked', 'running'))",
            {"asset": asset, "dates": list(dates)},
        ).fetchall()
    found: dict[str, set[date]] = defaultdict(set)
    for row in rows:
        found[row["account_id"]].add(row["partition_date"])
    return found


def _reasons(database: Database, query: str, parameters: Mapping[str, object]) -> dict[date, str]:
    with database.connect() as connection:
        rows = connection.execute(query.encode(), parameters).fetchall()
    said: dict[date, list[str]] = defaultdict(list)
    for row in rows:
        said[row["event_date"]].append(f"act_{row['account_id']}: {row['reason']}")
    return {
        day: "; ".join(reasons[:_REASONS_SHOWN])
        + (f" and {len(reasons) - _REASONS_SHOWN} more" if len(reasons) > _REASONS_SHOWN else "")
        for day, reasons in said.items()
    }

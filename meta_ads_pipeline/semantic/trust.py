"""Why a number is what it is, what is unusual, and which objects there are."""

from __future__ import annotations

from datetime import date
from typing import Any

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.row_security import in_workspace, rows_in_workspace
from meta_ads_pipeline.errors import ConfigurationError, NotFoundError
from meta_ads_pipeline.semantic.answer import unit_of
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

RECONCILED_MEASURES = (
    *("spend", "impressions", "clicks", "link_clicks"),
    *("purchases", "revenue", "leads"),
)
"""Measures that three pulls are compared in, where Meta tells them of an account."""

LEVELS = ("account", "campaign", "adset", "ad")

MOST_ROWS = 1000


class UnknownMeasureError(ConfigurationError):
    """A measure was named that no pulls are compared in."""


class UnknownAccountDayError(NotFoundError):
    """Nothing was pulled of the account on that date."""


def reconciliation(
    database: Database,
    workspace_id: str,
    *,
    start: date,
    end: date,
    account: str | None = None,
    measure: str | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """The three totals of each account, date and measure, newest date first."""
    return _rows(
        database, workspace_id, "reconciliation",
        start=start, end=end, account=account,
        measure=measure, limit=limit, skip=offset,
    )  # fmt: skip


def explain(
    database: Database, workspace_id: str, *, account: str, day: date, measure: str
) -> dict[str, Any]:
    """A measure of an account on its own date: what is served, the three totals, what changed.

    ``sentence`` says it for people. Raises ``UnknownMeasureError`` and ``UnknownAccountDayError``.
    """
    if measure not in RECONCILED_MEASURES:
        raise UnknownMeasureError(
            f"measure: {measure!r} is none of {', '.join(RECONCILED_MEASURES)}"
        )
    asked: dict[str, Any] = {
        "workspace": workspace_id, "start": day, "end": day, "account": account,
        "measure": measure, "limit": 1, "skip": 0,
    }  # fmt: skip

    def work(session: Connection) -> dict[str, Any] | None:
        totals = session.execute(sql("reconciliation"), asked).fetchone()
        if totals is None:
            return None
        served = session.execute(sql("served_value", measure=measure), asked).fetchone()
        assert served is not None
        return {
            **totals,
            "served_value": served["value"],
            "changes": session.execute(sql("changes_of_day"), asked).fetchall(),
            "failed_checks": session.execute(sql("failed_checks_of_day"), asked).fetchall(),
        }

    found = in_workspace(database, workspace_id, work)
    if found is None:
        raise UnknownAccountDayError(f"nothing was pulled of act_{account} on {day}")
    return {"sentence": _sentence(found), **found}


def _sentence(found: dict[str, Any]) -> str:
    unit = f" {found['currency']}" if unit_of(found["measure"]) == "money" else ""
    value = "unknown" if found["served_value"] is None else f"{found['served_value']}{unit}"
    parts = [
        f"{found['measure']} of act_{found['account_id']} on {found['event_date']} is {value}",
        f"the account's total at Meta is {found['account_total']}, its ads by the day add up to"
        f" {found['ad_daily_total']}",
    ]
    if found["hourly_total"] is not None:
        parts.append(f"its hours to {found['hourly_total']}")
    parts.append(
        {
            "reconciled": "they agree",
            "within_tolerance": "they agree within the tolerance of a day that may still change",
        }.get(found["status"], f"they do not agree ({found['status']}: {found['reason']})")
    )
    parts.append(
        "settled: Meta no longer changes it"
        if found["is_settled"]
        else "not settled: Meta may still change it"
    )
    if found["changes"]:
        parts.append(f"later pulls changed the account's total {len(found['changes'])} times")
    return "; ".join(parts)


def anomalies(
    database: Database,
    workspace_id: str,
    *,
    start: date,
    end: date,
    account: str | None = None,
    status: str | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """What was unusual in these dates, each with a sentence; newest date first."""
    return _rows(
        database, workspace_id, "anomalies",
        start=start, end=end, account=account,
        status=status, limit=limit, skip=offset,
    )  # fmt: skip


def restatements(
    database: Database,
    workspace_id: str,
    *,
    since: date,
    account: str | None = None,
    measure: str | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """What pulls since a date (UTC) have changed of days that were over, the latest change first.

    A row for each account, date and measure: the value before the first change, that after the
    last, the sum of all and how many there were. Delivery goes before Meta's many kinds of actions.
    """
    return _rows(
        database, workspace_id, "restatements",
        since=since, account=account, measure=measure, limit=limit, skip=offset,
        first=list(RECONCILED_MEASURES),
    )  # fmt: skip


def freshness(database: Database, workspace_id: str) -> list[dict[str, Any]]:
    """How far the data of each ad account reaches, and which of its days are held or missing."""
    return _rows(database, workspace_id, "freshness")


def entities(
    database: Database,
    workspace_id: str,
    *,
    level: str | None = None,
    parent: str | None = None,
    search: str | None = None,
    limit: int = 200,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Accounts, campaigns, ad sets, ads: below ``parent``, or with ``search`` in their name."""
    return _rows(
        database, workspace_id, "entities",
        level=level, parent=parent, search=search,
        limit=limit, skip=offset, levels=list(LEVELS),
    )  # fmt: skip


def entity_history(
    database: Database, workspace_id: str, *, entity: str, limit: int = 200, offset: int = 0
) -> list[dict[str, Any]]:
    """The versions of an object, newest first; none for an object that is not there."""
    return _rows(database, workspace_id, "entity_history", entity=entity, limit=limit, skip=offset)


def _rows(
    database: Database, workspace_id: str, name: str, **asked: object
) -> list[dict[str, Any]]:
    """The rows of the statement ``sql/<name>.sql``, of the workspace."""
    return rows_in_workspace(database, workspace_id, sql(name), **asked)

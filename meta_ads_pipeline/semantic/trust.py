"""Why a number is what it is, what is unusual, and which objects there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.row_security import in_workspace
from meta_ads_pipeline.errors import ConfigurationError, NotFoundError

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


_RECONCILIATION = """
select
    r.account_id, a.name as account_name, r.event_date, r.measure, a.currency,
    r.hourly_total, r.ad_daily_total, r.account_total, r.delta, r.tolerance, r.status, r.reason,
    r.is_complete, r.is_settled, r.pulled_at
from marts.reconciliation as r
left join marts.dim_ad_accounts as a on a.account_id = r.account_id
where
    r.workspace_id = %(workspace)s and r.event_date between %(start)s and %(end)s
    and (%(account)s::text is null or r.account_id = %(account)s)
    and (%(measure)s::text is null or r.measure = %(measure)s)
order by r.event_date desc, r.account_id, r.measure
limit %(limit)s offset %(offset)s
"""

_SERVED = """
select sum({measure}) as value from marts.metric_facts
where workspace_id = %(workspace)s and account_id = %(account)s and event_date = %(start)s
    and provider = 'meta' and source = 'insights'
"""

# An ad's change is also one of its account: the level of the account's total tells it once.
_CHANGES = """
select asset, level, old_value, new_value, change, previous_pulled_at, detected_at, lag_days
from serving.restatements
where workspace_id = %(workspace)s and account_id = %(account)s and event_date = %(start)s
    and measure = %(measure)s and asset = 'account_totals'
order by detected_at
"""

_CHECKS = """
select asset, check_name, severity, message, last_failed_at
from serving.check_results
where workspace_id = %(workspace)s and account_id = %(account)s and event_date = %(start)s
    and status = 'failed'
order by severity, asset, check_name
"""


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
    asked = {
        "workspace": workspace_id, "start": start, "end": end, "account": account,
        "measure": measure, "limit": limit, "offset": offset,
    }  # fmt: skip
    return in_workspace(
        database, workspace_id, lambda session: session.execute(_RECONCILIATION, asked).fetchall()
    )


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
        "measure": measure, "limit": 1, "offset": 0,
    }  # fmt: skip

    def work(session: Connection) -> dict[str, Any] | None:
        totals = session.execute(_RECONCILIATION, asked).fetchone()
        if totals is None:
            return None
        served = session.execute(_SERVED.format(measure=measure).encode(), asked).fetchone()
        assert served is not None
        return {
            **totals,
            "served_value": served["value"],
            "changes": session.execute(_CHANGES, asked).fetchall(),
            "failed_checks": session.execute(_CHECKS, asked).fetchall(),
        }

    found = in_workspace(database, workspace_id, work)
    if found is None:
        raise UnknownAccountDayError(f"nothing was pulled of act_{account} on {day}")
    return {"sentence": _sentence(found), **found}


def _sentence(found: dict[str, Any]) -> str:
    unit = f" {found['currency']}" if found["measure"] in ("spend", "revenue") else ""
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


_ANOMALIES = """
select anomaly_key, account_id, level, external_entity_id, grain, event_date, event_hour, measure,
    kind, direction, value, expected, expected_low, expected_high, unit, score, severity, status,
    sentence, first_seen_at, resolved_at
from marts.anomalies
where
    workspace_id = %(workspace)s and event_date between %(start)s and %(end)s
    and (%(account)s::text is null or account_id = %(account)s)
    and (%(status)s::text is null or status = %(status)s)
order by event_date desc, score desc nulls last, anomaly_key
limit %(limit)s offset %(offset)s
"""


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
    asked = {
        "workspace": workspace_id, "start": start, "end": end, "account": account,
        "status": status, "limit": limit, "offset": offset,
    }  # fmt: skip
    return in_workspace(
        database, workspace_id, lambda session: session.execute(_ANOMALIES, asked).fetchall()
    )


_FRESHNESS = """
select account_id, name, timezone, is_active, first_date, last_date, last_hour_at, last_pulled_at,
    data_lag_minutes, is_late, missing_days, held_days, held_dates, incomplete_days, unsettled_days
from serving.freshness
where workspace_id = %(workspace)s
order by is_active desc, name, account_id
"""


def freshness(database: Database, workspace_id: str) -> list[dict[str, Any]]:
    """How far the data of each ad account reaches, and which of its days are held or missing."""
    return in_workspace(
        database,
        workspace_id,
        lambda session: session.execute(_FRESHNESS, {"workspace": workspace_id}).fetchall(),
    )


_ENTITIES = """
select entity_id, level, external_entity_id, name, parent_external_id, account_id, provider,
    status, effective_status, goal, is_deleted, changed_at
from marts.entities
where
    workspace_id = %(workspace)s
    and (%(level)s::text is null or level = %(level)s)
    and (%(parent)s::text is null or parent_external_id = %(parent)s)
    and (
        %(search)s::text is null
        or strpos(lower(name), lower(%(search)s)) > 0
        or external_entity_id = %(search)s
    )
order by array_position(%(levels)s::text[], level), name, external_entity_id
limit %(limit)s offset %(offset)s
"""


def entities(
    database: Database,
    workspace_id: str,
    *,
    level: str | None = None,
    parent: str | None = None,
    search: str | None = None,
    limit: int = 200,
    offset: int = 0,
    levels: Sequence[str] = LEVELS,
) -> list[dict[str, Any]]:
    """Accounts, campaigns, ad sets, ads: below ``parent``, or with ``search`` in their name."""
    asked = {
        "workspace": workspace_id, "level": level, "parent": parent, "search": search,
        "limit": limit, "offset": offset, "levels": list(levels),
    }  # fmt: skip
    return in_workspace(
        database, workspace_id, lambda session: session.execute(_ENTITIES, asked).fetchall()
    )


_HISTORY = """
select level, external_entity_id, valid_from, valid_to, name, status, effective_status, objective,
    optimization_goal, daily_budget, lifetime_budget, bid_amount, creative_id, changed_fields
from marts.entity_history
where
    account_id in (select account_id from control.ad_accounts where workspace_id = %(workspace)s)
    and external_entity_id = %(entity)s
order by valid_from desc
limit %(limit)s offset %(offset)s
"""


def entity_history(
    database: Database, workspace_id: str, *, entity: str, limit: int = 200, offset: int = 0
) -> list[dict[str, Any]]:
    """The versions of an object, newest first; none for an object that is not there."""
    asked = {"workspace": workspace_id, "entity": entity, "limit": limit, "offset": offset}
    return in_workspace(
        database, workspace_id, lambda session: session.execute(_HISTORY, asked).fetchall()
    )

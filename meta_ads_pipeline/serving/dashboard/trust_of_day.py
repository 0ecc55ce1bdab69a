"""A day of an account: for each measure the three totals, and why they can be believed."""

from __future__ import annotations

from datetime import date
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.semantic import trust
from meta_ads_pipeline.semantic.trust import UnknownAccountDayError
from meta_ads_pipeline.serving.dashboard.visits import Visit
from meta_ads_pipeline.serving.problems import BadRequestError


def trust_of_day(database: Database, visit: Visit) -> dict[str, Any]:
    """What the page shows. Raises ``UnknownAccountDayError`` where nothing was pulled."""
    account = visit.request.path_params["account"].removeprefix("act_")
    try:
        day = date.fromisoformat(visit.request.path_params["day"])
    except ValueError as error:
        raise BadRequestError("the day: expected a date such as 2026-11-20") from error
    measures = []
    for measure in trust.RECONCILED_MEASURES:
        try:
            found = trust.explain(
                database, visit.caller.workspace_id, account=account, day=day, measure=measure
            )
        except UnknownAccountDayError:
            continue
        measures.append(found)
    if not measures:
        raise UnknownAccountDayError(f"nothing was pulled of act_{account} on {day}")
    return {
        "account": account,
        "name": measures[0]["account_name"] or f"act_{account}",
        "day": day,
        "currency": measures[0]["currency"],
        "measures": measures,
        "checks": measures[0]["failed_checks"],
        "is_settled": all(each["is_settled"] for each in measures),
        "pulled_at": max(
            (each["pulled_at"] for each in measures if each["pulled_at"]), default=None
        ),
    }

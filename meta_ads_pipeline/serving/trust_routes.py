"""Why a number can be trusted, and which objects there are: ``/trust`` and ``/entities``."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, BaseModel

from meta_ads_pipeline.control.api_keys import READ
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.semantic import trust
from meta_ads_pipeline.semantic.answer import dates_asked_for
from meta_ads_pipeline.serving.access import ANSWERS, Access, Caller, Problem
from meta_ads_pipeline.serving.parameters import storable
from meta_ads_pipeline.serving.problems import BadRequestError

_ANSWERS: dict[int | str, dict[str, Any]] = {
    **ANSWERS,
    422: {"model": Problem, "description": "A parameter cannot be used; the detail names it."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    **_ANSWERS,
    404: {"model": Problem, "description": "Nothing was pulled of that account and date."},
}


Text = Annotated[str, AfterValidator(storable)]
Account = Annotated[
    Text | None,
    Query(description="Ad account id, with or without act_.", max_length=40, examples=["211"]),
]
Start = Annotated[date | None, Query(description="First date; unset: six days before end.")]
End = Annotated[date | None, Query(description="Last date, included; unset: today.")]
Limit = Annotated[int, Query(ge=1, le=trust.MOST_ROWS)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]


class FreshAccount(BaseModel):
    """How far an ad account's data reaches; lag in minutes."""

    account_id: str
    name: str | None
    timezone: str
    is_active: bool
    first_date: date | None
    last_date: date | None
    last_hour_at: datetime | None
    last_pulled_at: datetime | None
    data_lag_minutes: int | None
    is_late: bool
    missing_days: int
    held_days: int
    held_dates: str | None
    incomplete_days: int
    unsettled_days: int


class Totals(BaseModel):
    """A measure of an account and date from three pulls, and whether they agree."""

    account_id: str
    account_name: str | None
    event_date: date
    measure: str
    currency: str | None
    hourly_total: Decimal | None
    ad_daily_total: Decimal | None
    account_total: Decimal | None
    delta: Decimal | None
    tolerance: Decimal | None
    status: str
    reason: str | None
    is_complete: bool
    is_settled: bool
    pulled_at: datetime | None


class Change(BaseModel):
    """What a later pull changed."""

    asset: str
    level: str
    old_value: Decimal | None
    new_value: Decimal | None
    change: Decimal | None
    previous_pulled_at: datetime | None
    detected_at: datetime
    lag_days: int | None


class Restatement(BaseModel):
    """All that pulls since a date changed of an account's measure on one date."""

    account_id: str
    account_name: str | None
    currency: str | None
    event_date: date
    measure: str
    old_value: Decimal | None
    new_value: Decimal | None
    change: Decimal | None
    times: int
    first_detected_at: datetime
    last_detected_at: datetime


class FailedCheck(BaseModel):
    """A check that the account-day does not pass."""

    asset: str
    check_name: str
    severity: str
    message: str | None
    last_failed_at: datetime | None


class Explanation(Totals):
    """Why a number is what it is. ``served_value`` is what the other paths add up to."""

    sentence: str
    served_value: Decimal | None
    changes: list[Change]
    failed_checks: list[FailedCheck]


class Anomaly(BaseModel):
    """Something unusual, with a sentence for people."""

    anomaly_key: str
    account_id: str
    level: str
    external_entity_id: str
    grain: str
    event_date: date
    event_hour: int | None
    measure: str
    kind: str
    direction: str | None
    value: Decimal | None
    expected: Decimal | None
    expected_low: Decimal | None
    expected_high: Decimal | None
    unit: str | None
    score: Decimal | None
    severity: str
    status: str
    sentence: str
    first_seen_at: datetime
    resolved_at: datetime | None


class Entity(BaseModel):
    """An ad account, campaign, ad set or ad as it is now."""

    entity_id: UUID
    level: str
    external_entity_id: str
    name: str | None
    parent_external_id: str | None
    account_id: str
    provider: str
    status: str | None
    effective_status: str | None
    goal: str | None
    is_deleted: bool | None
    changed_at: datetime | None


class EntityVersion(BaseModel):
    """How an object was from ``valid_from`` until ``valid_to`` (null: until now)."""

    level: str
    external_entity_id: str
    valid_from: datetime | None
    valid_to: datetime | None
    name: str | None
    status: str | None
    effective_status: str | None
    objective: str | None
    optimization_goal: str | None
    daily_budget: Decimal | None
    lifetime_budget: Decimal | None
    bid_amount: Decimal | None
    creative_id: str | None
    changed_fields: list[str] | None


def trust_router(database: Database, access: Access) -> APIRouter:
    """The routes of trust and of entities."""
    router = APIRouter()
    reader = Annotated[Caller, Depends(access.require(READ))]

    @router.get("/workspaces/{workspace_id}/trust", responses=_ANSWERS, tags=["trust"])
    def freshness(caller: reader) -> list[FreshAccount]:
        """How far the data of each ad account reaches, and which days are held or missing."""
        rows = trust.freshness(database, caller.workspace_id)
        return [FreshAccount(**row) for row in rows]

    @router.get(
        "/workspaces/{workspace_id}/trust/reconciliation", responses=_ANSWERS, tags=["trust"]
    )
    def reconciliation(
        caller: reader,
        start: Start = None,
        end: End = None,
        account: Account = None,
        measure: Annotated[Text | None, Query(max_length=40, examples=["spend"])] = None,
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[Totals]:
        """The three totals of each account, date and measure, newest date first."""
        first, last = _dates(database, caller, start, end)
        rows = trust.reconciliation(
            database,
            caller.workspace_id,
            start=first,
            end=last,
            account=_bare(account),
            measure=measure,
            limit=limit,
            offset=offset,
        )
        return [Totals(**row) for row in rows]

    @router.get("/workspaces/{workspace_id}/trust/restatements", responses=_ANSWERS, tags=["trust"])
    def restatements(
        caller: reader,
        since: Annotated[
            date | None, Query(description="Of pulls from this date (UTC) on; unset: seven days.")
        ] = None,
        account: Account = None,
        measure: Annotated[Text | None, Query(max_length=40, examples=["spend"])] = None,
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[Restatement]:
        """What Meta has changed of days that were over, the latest change first."""
        first, _ = _dates(database, caller, since, None)
        rows = trust.restatements(
            database,
            caller.workspace_id,
            since=first,
            account=_bare(account),
            measure=measure,
            limit=limit,
            offset=offset,
        )
        return [Restatement(**row) for row in rows]

    @router.get("/workspaces/{workspace_id}/trust/explain", responses=_NOT_FOUND, tags=["trust"])
    def explain(
        caller: reader,
        account: Annotated[Text, Query(max_length=40, examples=["2118747088576957"])],
        date: Annotated[date, Query(examples=["2026-11-20"])],
        measure: Annotated[
            Text, Query(description=f"One of {', '.join(trust.RECONCILED_MEASURES)}.")
        ] = "spend",
    ) -> Explanation:
        """A measure of an account on its own date: what is served, three totals, what changed."""
        found = trust.explain(
            database,
            caller.workspace_id,
            account=account.removeprefix("act_"),
            day=date,
            measure=measure,
        )
        return Explanation(**found)

    @router.get("/workspaces/{workspace_id}/trust/anomalies", responses=_ANSWERS, tags=["trust"])
    def anomalies(
        caller: reader,
        start: Start = None,
        end: End = None,
        account: Account = None,
        status: Literal["open", "resolved"] | None = None,
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[Anomaly]:
        """What is unusual, each with a sentence; newest date first."""
        first, last = _dates(database, caller, start, end)
        rows = trust.anomalies(
            database,
            caller.workspace_id,
            start=first,
            end=last,
            account=_bare(account),
            status=status,
            limit=limit,
            offset=offset,
        )
        return [Anomaly(**row) for row in rows]

    @router.get("/workspaces/{workspace_id}/entities", responses=_ANSWERS, tags=["entities"])
    def entities(
        caller: reader,
        level: Literal["account", "campaign", "adset", "ad"] | None = None,
        parent: Annotated[
            Text | None, Query(description="Id of what they are below.", max_length=100)
        ] = None,
        search: Annotated[
            Text | None, Query(description="A part of the name, or an id.", max_length=200)
        ] = None,
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[Entity]:
        """Objects as they are now: all, those below one, or those with a word in their name."""
        rows = trust.entities(
            database,
            caller.workspace_id,
            level=level,
            parent=_bare(parent),
            search=search,
            limit=limit,
            offset=offset,
        )
        return [Entity(**row) for row in rows]

    @router.get(
        "/workspaces/{workspace_id}/entities/{external_entity_id}/history",
        responses=_ANSWERS,
        tags=["entities"],
    )
    def history(
        caller: reader,
        external_entity_id: Annotated[Text, Path(max_length=100)],
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[EntityVersion]:
        """The versions of an object, newest first; none of one that is not there."""
        rows = trust.entity_history(
            database,
            caller.workspace_id,
            entity=external_entity_id.removeprefix("act_"),
            limit=limit,
            offset=offset,
        )
        return [EntityVersion(**row) for row in rows]

    return router


def _dates(
    database: Database, caller: Caller, start: date | None, end: date | None
) -> tuple[date, date]:
    if any(day is not None and day.year < 2004 for day in (start, end)):
        raise BadRequestError("start, end: expected dates from 2004 on")
    return dates_asked_for(database, caller.workspace_id, start, end)


def _bare(account: str | None) -> str | None:
    return account.removeprefix("act_") if account is not None else None

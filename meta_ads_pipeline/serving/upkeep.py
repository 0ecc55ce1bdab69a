"""What could not be used, and what a person should do: ``/dead-letters`` and ``/alerts``."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from meta_ads_pipeline.control.api_keys import READ
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.dead_letters import DeadLetterStatus
from meta_ads_pipeline.control.row_security import rows_in_workspace
from meta_ads_pipeline.serving.access import ANSWERS, Access, Caller, Problem
from meta_ads_pipeline.serving.trust_routes import Account, Limit, Offset, Text
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_ANSWERS: dict[int | str, dict[str, Any]] = {
    **ANSWERS,
    422: {"model": Problem, "description": "A parameter cannot be used; the detail names it."},
}


class DeadLetter(BaseModel):
    """What could not be used, whole, with the reason. ``document`` is JSON text."""

    dead_letter_id: int
    account_id: str
    asset: str
    partition_date: date | None
    object_id: str | None
    field: str | None
    reason: str
    document: str
    source_call: str | None
    status: str
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolution: str | None


class Alert(BaseModel):
    """Something that a person should know or do; open as long as ``resolved_at`` is null."""

    alert_id: int
    kind: str
    subject: str
    severity: str
    stage: str
    message: str
    what_to_do: str
    times_raised: int
    first_raised_at: datetime
    last_raised_at: datetime
    resolved_at: datetime | None


def upkeep_router(database: Database, access: Access) -> APIRouter:
    """The routes of dead letters and alerts."""
    router = APIRouter(tags=["upkeep"])
    reader = Annotated[Caller, Depends(access.require(READ))]

    def rows(caller: Caller, name: str, **asked: object) -> list[dict[str, Any]]:
        return rows_in_workspace(database, caller.workspace_id, sql(name), **asked)

    @router.get("/workspaces/{workspace_id}/dead-letters", responses=_ANSWERS)
    def dead_letters(
        caller: reader,
        account: Account = None,
        asset: Annotated[
            Text | None, Query(description="What they were of.", max_length=100)
        ] = None,
        status: DeadLetterStatus | None = None,
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[DeadLetter]:
        """Rows and objects that could not be used, each with the reason; the latest seen first."""
        found = rows(
            caller,
            "dead_letters",
            account=account.removeprefix("act_") if account is not None else None,
            asset=asset,
            status=status,
            limit=limit,
            skip=offset,
        )
        return [DeadLetter(**row) for row in found]

    @router.get("/workspaces/{workspace_id}/alerts", responses=_ANSWERS)
    def alerts(
        caller: reader,
        status: Literal["open", "resolved"] | None = None,
        limit: Limit = 200,
        offset: Offset = 0,
    ) -> list[Alert]:
        """What a person should know or do: open ones first, the weightiest of them before."""
        found = rows(caller, "alerts", status=status, limit=limit, skip=offset)
        return [Alert(**row) for row in found]

    return router

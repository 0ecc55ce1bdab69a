"""Starting syncs and backfills, their cost, their progress: ``/connections``, ``/runs``.

A run is Dagster's; it starts as soon as the queue has a place for it.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from meta_ads_pipeline.control.api_keys import READ, SYNC
from meta_ads_pipeline.serving.access import ANSWERS, REFUSED, Access, Caller, Problem
from meta_ads_pipeline.serving.dagster_client import DagsterAwayError, DagsterRefusedError
from meta_ads_pipeline.serving.syncs import (
    BACKFILL_JOB,
    ENTITIES_JOB,
    SYNC_JOB,
    NotYoursError,
    RunInFlightError,
    Syncs,
)
from meta_ads_pipeline.serving.trust_routes import Text

_ANSWERS: dict[int | str, dict[str, Any]] = {
    **ANSWERS,
    404: {"model": Problem, "description": "The workspace has no such connection or run."},
    422: {"model": Problem, "description": "A parameter cannot be used; the detail names it."},
}


class InFlight(Problem):
    """A run that is not over pulls the same."""

    run_id: str
    link: str


_LAUNCH_ANSWERS: dict[int | str, dict[str, Any]] = {
    **_ANSWERS,
    409: {"model": InFlight, "description": "A run that is not over pulls the same."},
    502: {"model": Problem, "description": "Dagster refused the run; the detail is its reason."},
}

ConnectionName = Annotated[
    Text, Path(description="The connection's name or id.", min_length=1, max_length=200)
]
RunId = Annotated[Text, Path(description="The run's id.", min_length=1, max_length=100)]


class Connection(BaseModel):
    """Credentials of Meta that the workspace has; nothing of the token itself. Times are UTC."""

    connection_id: UUID
    name: str
    status: str
    status_reason: str | None
    token_type: str | None
    expires_at: datetime | None
    data_access_expires_at: datetime | None
    last_validated_at: datetime | None
    is_from_environment: bool
    account_ids: list[str]


class _Dates(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accounts: Annotated[
        list[Text],
        Field(
            description="Ad account ids, with or without act_; empty: all of the connection.",
            max_length=1000,
        ),
    ] = []


class SyncRequest(_Dates):
    """What to pull; without dates, today and yesterday where the accounts are."""

    start: Annotated[date | None, Field(description="First date.")] = None
    end: Annotated[date | None, Field(description="Last date, included.")] = None


class EntitiesRequest(_Dates):
    """Which accounts' campaigns, ad sets, ads and creatives to pull."""


class BackfillRequest(_Dates):
    """Dates of the past to pull, reach included; account-local and inclusive."""

    start: Annotated[date, Field(description="First date.", examples=["2026-11-01"])]
    end: Annotated[date, Field(description="Last date, included.", examples=["2026-11-14"])]


class Launched(BaseModel):
    """A run in Dagster's queue. ``link`` opens it there, ``progress`` is its path here."""

    run_id: str
    job: str
    start: date
    end: date
    account_ids: list[str]
    link: str
    progress: str


class Run(BaseModel):
    """A run of Dagster, as far as it is about the workspace. Dates are account-local.

    ``status`` is Dagster's: QUEUED, STARTING, STARTED, CANCELING, SUCCESS, FAILURE, CANCELED.
    ``is_own``: it reads no other workspace's ad accounts, and can be cancelled here.
    """

    run_id: str
    job: str
    status: str
    is_over: bool
    started_by: str
    start_date: date | None
    end_date: date | None
    account_ids: list[str]
    is_own: bool
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    link: str


class Step(BaseModel):
    """A step of a run. ``status``: running, done, failed, skipped."""

    step: str
    status: str


class SliceFailure(BaseModel):
    """Dates of one asset and account that the run could not pull, and why."""

    account_id: str
    asset: str
    start_date: date
    end_date: date
    slices: int
    reason: str | None


class RunProgress(Run):
    """How far a run has come, in slices (account, date, asset); 0 expected: unknown."""

    progress_percent: int
    slices_expected: int
    slices_done: int
    slices_by_status: dict[str, int]
    steps: list[Step]
    failures: list[SliceFailure]


class PlannedAsset(BaseModel):
    """What one asset of an account would cost; ``reports`` of the calls start one."""

    asset: str
    calls: int
    rows: int
    reports: int


class PlannedAccount(BaseModel):
    """What an account would cost, against the calls Meta lets it have in an hour."""

    account_id: str
    name: str | None
    calls: int
    rows: int
    calls_per_hour: int
    tier: str
    share_of_hourly_budget: float
    expected_seconds: int
    assets: list[PlannedAsset]


class Plan(BaseModel):
    """What a backfill would cost, as expected from what is landed. Nothing was asked of Meta."""

    start: date
    end: date
    calls: int
    rows: int
    expected_seconds: int
    time_basis: str | None
    accounts: list[PlannedAccount]


def sync_router(syncs: Syncs, access: Access) -> APIRouter:
    """The routes of connections and runs."""
    router = APIRouter(tags=["syncs"])
    reader = Annotated[Caller, Depends(access.require(READ))]
    operator = Annotated[Caller, Depends(access.require(SYNC))]
    connection_path = "/workspaces/{workspace_id}/connections/{connection}"

    def launched(
        caller: Caller, job: str, connection: str, asked: _Dates, start: date | None,
        end: date | None,
    ) -> Launched:  # fmt: skip
        accounts = syncs.chosen(caller, connection, asked.accounts)
        window = syncs.window(accounts, start, end)
        run = syncs.launch(caller, job, window, accounts)
        return Launched(
            run_id=run.run_id,
            job=run.job,
            start=run.start,
            end=run.end,
            account_ids=list(run.account_ids),
            link=syncs.dagster.link(run.run_id),
            progress=f"/workspaces/{caller.workspace}/runs/{run.run_id}",
        )

    @router.get("/workspaces/{workspace_id}/connections", responses=_ANSWERS)
    def connections(caller: reader) -> list[Connection]:
        """The workspace's connections to Meta, and how they stand."""
        return [Connection(**row) for row in syncs.connections(caller)]

    @router.get(f"{connection_path}/plan", responses=_ANSWERS)
    def plan(
        caller: reader,
        connection: ConnectionName,
        start: Annotated[date, Query(description="First date.", examples=["2026-11-01"])],
        end: Annotated[date, Query(description="Last date, included.", examples=["2026-11-14"])],
        account: Annotated[
            list[Text] | None,
            Query(description="Ad account ids; unset: all of the connection.", max_length=1000),
        ] = None,
    ) -> Plan:
        """Calls, rows, share of the hourly budget and time of a backfill, before it is started."""
        accounts = syncs.chosen(caller, connection, account or [])
        return Plan(**syncs.plan(syncs.window(accounts, start, end), accounts))

    @router.post(f"{connection_path}/sync", status_code=202, responses=_LAUNCH_ANSWERS)
    def sync(
        caller: operator, connection: ConnectionName, asked: SyncRequest | None = None
    ) -> Launched:
        """Pull the newest dates now, in one run, and build the marts."""
        asked = asked or SyncRequest()
        return launched(caller, SYNC_JOB, connection, asked, asked.start, asked.end)

    @router.post(f"{connection_path}/sync-entities", status_code=202, responses=_LAUNCH_ANSWERS)
    def sync_entities(
        caller: operator, connection: ConnectionName, asked: EntitiesRequest | None = None
    ) -> Launched:
        """Pull campaigns, ad sets, ads and creatives as they are now, and build the dimensions."""
        return launched(
            caller, ENTITIES_JOB, connection, asked or EntitiesRequest(), None, None
        )  # fmt: skip

    @router.post(f"{connection_path}/backfill", status_code=202, responses=_LAUNCH_ANSWERS)
    def backfill(caller: operator, connection: ConnectionName, asked: BackfillRequest) -> Launched:
        """Pull a range of past dates in one run, and build the marts. `plan` says its cost."""
        return launched(caller, BACKFILL_JOB, connection, asked, asked.start, asked.end)

    @router.get("/workspaces/{workspace_id}/runs", responses=_ANSWERS)
    def runs(
        caller: reader,
        state: Annotated[
            Literal["unfinished", "finished"] | None, Query(description="Unset: both.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    ) -> list[Run]:
        """Runs that read the workspace's ad accounts, the latest first."""
        return [Run(**row) for row in syncs.runs(caller, state=state, limit=limit, offset=offset)]

    @router.get("/workspaces/{workspace_id}/runs/{run_id}", responses=_ANSWERS)
    def run(caller: reader, run_id: RunId) -> RunProgress:
        """A run, how far it has come, and what it could not pull."""
        return RunProgress(**syncs.run(caller, run_id))

    @router.post("/workspaces/{workspace_id}/runs/{run_id}/cancel", responses=_LAUNCH_ANSWERS)
    def cancel(caller: operator, run_id: RunId) -> RunProgress:
        """Have a run end. What has landed is kept; one that is over stays as it is."""
        return RunProgress(**syncs.cancel(caller, run_id))

    return router


def answer_sync_problems(app: FastAPI, link: Callable[[str], str]) -> None:
    """How what keeps a run from starting is answered."""

    @app.exception_handler(RunInFlightError)
    async def in_flight(_request: Request, error: RunInFlightError) -> JSONResponse:
        body = {"detail": str(error), "run_id": error.run_id, "link": link(error.run_id)}
        return JSONResponse(body, status_code=409)

    @app.exception_handler(NotYoursError)
    async def not_yours(_request: Request, error: NotYoursError) -> JSONResponse:
        return JSONResponse({"detail": f"{REFUSED}: {error}"}, status_code=403)

    @app.exception_handler(DagsterAwayError)
    async def away(_request: Request, error: DagsterAwayError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=503)

    @app.exception_handler(DagsterRefusedError)
    async def refused(_request: Request, error: DagsterRefusedError) -> JSONResponse:
        return JSONResponse({"detail": f"Dagster refused: {error}"}, status_code=502)

"""The dashboard as an application of its own, below ``/dashboard`` of the service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from meta_ads_pipeline.control.api_keys import READ, SYNC
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.control.row_security import MartsMissingError
from meta_ads_pipeline.errors import ConfigurationError, MetaAdsError, NotFoundError
from meta_ads_pipeline.serving.access import Access
from meta_ads_pipeline.serving.dagster_client import DagsterAwayError, DagsterRefusedError
from meta_ads_pipeline.serving.dashboard import changes, drilldown, overview, syncing, trust_of_day
from meta_ads_pipeline.serving.dashboard.pages import page, static_file
from meta_ads_pipeline.serving.dashboard.visits import (
    HOME,
    NEEDS_TLS,
    SIGN_IN,
    SignInNeededError,
    Visit,
    Visits,
    refuse_open_networks,
)
from meta_ads_pipeline.serving.metric_formats import MEDIA_TYPES
from meta_ads_pipeline.serving.stream import Broadcaster, stream_response
from meta_ads_pipeline.serving.syncs import NotYoursError, RunInFlightError, Syncs

logger = logging.getLogger(__name__)

_NAVIGATION = (
    ("overview", "Overview", HOME),
    ("ads", "Ads", f"{HOME}ads"),
    ("changes", "Changes", f"{HOME}changes"),
    ("anomalies", "Anomalies", f"{HOME}anomalies"),
    ("syncs", "Syncs", f"{HOME}syncs"),
)


class Dashboard:
    """The pages, over one database."""

    def __init__(
        self, database: Database, access: Access, syncs: Syncs, broadcaster: Broadcaster
    ) -> None:
        self._database, self._syncs, self._broadcaster = database, syncs, broadcaster
        self._visits = Visits(database, access)

    def application(self) -> Starlette:
        """Its routes, and how its failures look."""
        read = self._reading
        return Starlette(
            routes=[
                Route("/", read("overview.html", "overview", self._overview)),
                Route("/ads", read("ads.html", "ads", self._ads)),
                Route("/days/{account}/{day}", read("day.html", "overview", self._day)),
                Route("/changes", read("changes.html", "changes", self._changes)),
                Route("/anomalies", read("anomalies.html", "anomalies", self._anomalies)),
                Route("/syncs", read("syncs.html", "syncs", self._sync_status)),
                Route("/runs/{run_id}", read("run.html", "syncs", self._run)),
                Route("/runs/{run_id}/cancel", self._cancel, methods=["POST"]),
                Route("/backfill", self._backfill, methods=["POST"]),
                Route("/stream", self._stream),
                Route("/sign-in", self._sign_in, methods=["GET", "POST"]),
                Route("/sign-out", self._sign_out, methods=["POST"]),
                Route("/static/{name}", lambda request: static_file(request.path_params["name"])),
            ],
            exception_handlers={
                SignInNeededError: _to_sign_in,
                HTTPException: self._failed,
                MetaAdsError: self._failed,
                psycopg.Error: self._failed,
            },
        )

    # Pages.

    def _reading(
        self, template: str, name: str, work: Callable[[Visit], dict[str, Any] | Response]
    ) -> Callable[[Request], Any]:
        """A page of what ``work`` finds; ``work`` may answer with a file instead."""

        async def answer(request: Request) -> Response:
            return await run_in_threadpool(make, request)

        def make(request: Request) -> Response:
            visit = self._visits.visit(request)
            try:
                found = work(visit)
            except MartsMissingError:
                return page("empty.html", **_frame(visit, name))
            if isinstance(found, Response):
                return found
            return page(template, **_frame(visit, name), **found)

        return answer

    def _overview(self, visit: Visit) -> dict[str, Any]:
        return overview.overview(self._database, visit)

    def _ads(self, visit: Visit) -> dict[str, Any] | Response:
        kind = visit.request.query_params.get("format")
        if kind == "sparklines":
            return JSONResponse(drilldown.sparklines(self._database, visit))
        if kind == "csv":
            name, body = drilldown.as_csv(self._database, visit)
            return Response(
                body,
                media_type=MEDIA_TYPES["csv"],
                headers={"Content-Disposition": f'attachment; filename="{name}"'},
            )
        return drilldown.drilldown(self._database, visit)

    def _day(self, visit: Visit) -> dict[str, Any]:
        return trust_of_day.trust_of_day(self._database, visit)

    def _changes(self, visit: Visit) -> dict[str, Any]:
        return changes.restatements(self._database, visit)

    def _anomalies(self, visit: Visit) -> dict[str, Any]:
        return changes.anomalies(self._database, visit)

    def _sync_status(self, visit: Visit) -> dict[str, Any]:
        return syncing.status(self._database, self._syncs, visit)

    def _run(self, visit: Visit) -> dict[str, Any]:
        return syncing.run(self._syncs, visit)

    # What changes something.

    async def _backfill(self, request: Request) -> Response:
        form = await _form(request)

        def start() -> Response:
            visit = self._posted(request, form)
            run_id = syncing.start(self._syncs, visit, form)
            return RedirectResponse(f"{HOME}runs/{run_id}", status_code=303)

        return await run_in_threadpool(start)

    async def _cancel(self, request: Request) -> Response:
        form = await _form(request)

        def cancel() -> Response:
            visit = self._posted(request, form)
            run_id = request.path_params["run_id"]
            self._syncs.cancel(visit.caller, run_id)
            return RedirectResponse(f"{HOME}runs/{run_id}", status_code=303)

        return await run_in_threadpool(cancel)

    def _posted(self, request: Request, form: dict[str, str]) -> Visit:
        visit = self._visits.visit(request, SYNC)
        self._visits.check_form(request, form.get("form_token", ""))
        return visit

    # Coming and going.

    async def _sign_in(self, request: Request) -> Response:
        following = request.query_params.get("next", HOME)
        if request.method in ("GET", "HEAD"):
            try:
                refuse_open_networks(request)
            except HTTPException:
                return page("sign_in.html", status=403, error=NEEDS_TLS, following=following)
            return page("sign_in.html", error=None, following=following)
        form = await _form(request)
        try:
            return await run_in_threadpool(
                self._visits.sign_in, request, form.get("key", ""), form.get("next", HOME)
            )
        except HTTPException as error:
            said = {
                401: "This key is unknown, expired or revoked.",
                403: f"{str(error.detail)[:1].upper()}{str(error.detail)[1:]}",
                429: "Too many attempts: wait a minute.",
            }.get(error.status_code, str(error.detail))
            return page(
                "sign_in.html",
                status=error.status_code,
                error=said,
                following=form.get("next", HOME),
            )

    async def _sign_out(self, request: Request) -> Response:
        form = await _form(request)
        return await run_in_threadpool(self._visits.sign_out, request, form.get("form_token", ""))

    async def _stream(self, request: Request) -> Response:
        visit = await run_in_threadpool(self._visits.visit, request, READ)
        seen = request.headers.get("last-event-id", "")
        return stream_response(
            self._database,
            visit.caller.workspace_id,
            self._broadcaster,
            int(seen) if seen.isdigit() and len(seen) < 19 else None,
        )

    async def _failed(self, request: Request, error: Exception) -> Response:
        """A page that says what went wrong and what to do."""
        status, said = _said(error)
        if status >= 500:
            logger.warning("%s: %s", request.url.path, type(error).__name__)
        return page("error.html", status=status, title=HTTPStatus(status).phrase, said=said)


def _frame(visit: Visit, name: str) -> dict[str, Any]:
    """What every page shows around its own."""
    return {
        "visit": visit,
        "view": visit.view,
        "caller": visit.caller,
        "navigation": _NAVIGATION,
        "here": name,
        "path": HOME if name == "overview" else f"{HOME}{name}",
    }


async def _form(request: Request) -> dict[str, str]:
    async with request.form(max_files=0, max_fields=50) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


async def _to_sign_in(request: Request, _error: Exception) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", "*/*"):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': wanted})}", status_code=303)
    return page(
        "sign_in.html", status=401, error="You are signed out: sign in again.", following=HOME
    )


def _said(error: Exception) -> tuple[int, str]:
    """The status of a failure, and a sentence for people."""
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail)
    for kinds, status in (
        ((RunInFlightError,), 409),
        ((NotYoursError,), 403),
        ((DagsterAwayError,), 503),
        ((DagsterRefusedError,), 502),
        ((ConfigurationError,), 422),
        ((NotFoundError,), 404),
    ):
        if isinstance(error, kinds):
            return status, str(error)
    if isinstance(error, psycopg.errors.QueryCanceled):
        return 503, "the question took too long: ask for fewer dates"
    if isinstance(error, psycopg.Error | DatabaseError):
        return 503, "the database cannot be used now; try again in a moment"
    return 500, str(error)

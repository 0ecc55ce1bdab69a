"""How syncs stand, what a backfill would cost, starting one, and how far it is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.row_security import rows_in_workspace
from meta_ads_pipeline.semantic import trust
from meta_ads_pipeline.serving.dashboard.questions import scope
from meta_ads_pipeline.serving.dashboard.visits import Visit
from meta_ads_pipeline.serving.problems import BadRequestError
from meta_ads_pipeline.serving.syncs import BACKFILL_JOB, UNFINISHED, Syncs
from meta_ads_pipeline.serving.upkeep import sql as upkeep_sql
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_RUNS = 20


def status(database: Database, syncs: Syncs, visit: Visit) -> dict[str, Any]:
    """Connections, accounts, the call budget, runs; and the cost of the dates that are asked for.

    What is wrong with those dates is said beside the form.
    """
    view, caller = visit.view, visit.caller
    about = scope(database, visit)
    now = datetime.now(UTC)
    connections = [{**row, "days_left": _days_left(row, now)} for row in syncs.connections(caller)]
    plan = problem = None
    if view.connection is not None and view.start is not None and view.end is not None:
        try:
            accounts = syncs.chosen(caller, view.connection, [view.account] if view.account else [])
            plan = syncs.plan(syncs.window(accounts, view.start, view.end), accounts)
        except (BadRequestError, LookupError) as error:
            problem = str(error)
    runs = syncs.runs(caller, limit=_RUNS)
    return {
        "scope": about,
        "connections": connections,
        "fresh": trust.freshness(database, caller.workspace_id) if about is not None else [],
        "budgets": rows_in_workspace(database, caller.workspace_id, sql("call_budgets")),
        "alerts": _alerts(database, visit),
        "runs": [syncs.run(caller, r["run_id"]) if not r["is_over"] else r for r in runs],
        "plan": plan,
        "problem": problem,
    }


def start(syncs: Syncs, visit: Visit, form: dict[str, str]) -> str:
    """Queue the backfill that a form asks for; returns the run's id.

    Raises ``BadRequestError``, and what ``Syncs.launch`` raises.
    """
    caller = visit.caller
    account = form.get("account", "")
    accounts = syncs.chosen(caller, form.get("connection", ""), [account] if account else [])
    window = syncs.window(accounts, _date(form, "start"), _date(form, "end"))
    return syncs.launch(caller, BACKFILL_JOB, window, accounts).run_id


def run(syncs: Syncs, visit: Visit) -> dict[str, Any]:
    """A run, and how far it is. Raises ``RunNotFoundError``."""
    found = syncs.run(visit.caller, visit.request.path_params["run_id"])
    return {"run": found, "may_cancel": found["is_own"] and found["status"] in UNFINISHED}


def _date(form: dict[str, str], name: str) -> date:
    try:
        return date.fromisoformat(form.get(name, ""))
    except ValueError as error:
        raise BadRequestError(f"{name}: expected a date such as 2026-11-20") from error


def _days_left(connection: dict[str, Any], now: datetime) -> int | None:
    """Until the token, or its access to data, ends; None: neither does."""
    ends = [
        each
        for each in (connection["expires_at"], connection["data_access_expires_at"])
        if each is not None
    ]
    return (min(ends) - now).days if ends else None


def _alerts(database: Database, visit: Visit) -> list[dict[str, Any]]:
    return rows_in_workspace(
        database, visit.caller.workspace_id, upkeep_sql("alerts"), status="open", limit=20, skip=0
    )

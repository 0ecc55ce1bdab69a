"""What later pulls have changed, and what is unusual."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.semantic import trust
from meta_ads_pipeline.serving.dashboard.questions import scope
from meta_ads_pipeline.serving.dashboard.visits import Visit

_ROWS = 200


def restatements(database: Database, visit: Visit) -> dict[str, Any]:
    """Days whose numbers Meta has changed since a date."""
    about = scope(database, visit)
    if about is None:
        return {"scope": None}
    since = about.view.since or about.today - timedelta(days=7)
    rows = trust.restatements(
        database,
        about.workspace_id,
        since=since,
        account=about.view.account,
        limit=_ROWS + 1,
        offset=about.view.offset,
    )
    return {
        "scope": about,
        "since": since,
        "rows": rows[:_ROWS],
        "following": about.view.offset + _ROWS if len(rows) > _ROWS else None,
        "presets": [(days, about.today - timedelta(days=days)) for days in (1, 7, 28)],
        "known": {*trust.RECONCILED_MEASURES},
    }


def anomalies(database: Database, visit: Visit) -> dict[str, Any]:
    """What was unusual, each with its sentence."""
    about = scope(database, visit)
    if about is None:
        return {"scope": None}
    start = about.view.start or about.end - timedelta(days=27)
    rows = trust.anomalies(
        database,
        about.workspace_id,
        start=start,
        end=about.end,
        account=about.view.account,
        status=about.view.status,
        limit=_ROWS + 1,
        offset=about.view.offset,
    )
    return {
        "scope": about,
        "start": start,
        "end": about.end,
        "rows": rows[:_ROWS],
        "following": about.view.offset + _ROWS if len(rows) > _ROWS else None,
        "names": {each.account_id: each.name for each in about.accounts},
    }

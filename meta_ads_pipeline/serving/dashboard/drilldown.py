"""From accounts down to ads: a table at a time, with a sparkline and what an ad says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.row_security import rows_in_workspace
from meta_ads_pipeline.semantic.answer import Answer
from meta_ads_pipeline.serving.dashboard import charts
from meta_ads_pipeline.serving.dashboard.questions import Scope, scope
from meta_ads_pipeline.serving.dashboard.view import CHILDREN, PAGE_SIZES, PARENTS, TOPS
from meta_ads_pipeline.serving.dashboard.visits import Visit
from meta_ads_pipeline.serving.metric_formats import as_file
from meta_ads_pipeline.serving.problems import BadRequestError
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

COLUMNS = ("spend", "impressions", "clicks", "ctr", "cpc", "conversions", "cpa", "revenue", "roas")

_SPARK_DAYS = 31
_MOST_FILE_ROWS = 100_000


def drilldown(database: Database, visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    about = scope(database, visit)
    if about is None:
        return {"scope": None}
    view = about.view
    answer = _ask(about, limit=view.limit, offset=view.offset)
    total = about.ask(measures=COLUMNS)
    ids = [row[view.level] for row in answer.rows if row[view.level] is not None]
    shown = {
        row["external_entity_id"]: row
        for row in rows_in_workspace(
            database, about.workspace_id, sql("objects"), level=view.level, ids=ids
        )
    }
    return {
        "scope": about,
        "answer": answer,
        "columns": COLUMNS,
        "total": total.rows[0] if total.rows else None,
        "rows": [
            {
                "id": row[view.level],
                "name": row.get(f"{view.level}_name") or row[view.level],
                "is_rest": row.get("is_rest", False),
                "values": row,
                "about": shown.get(row[view.level], {}),
            }
            for row in answer.rows
        ],
        "path_down": _crumbs(about),
        "child": CHILDREN.get(view.level),
        "page_sizes": PAGE_SIZES,
        "tops": TOPS,
        "sorted_by": _sort(about).removeprefix("-"),
        "levels": list(PARENTS),
    }


def as_csv(database: Database, visit: Visit) -> tuple[str, bytes]:
    """A file's name, and all rows of the table that is seen, in its order.

    With ``top`` the last row is the sum of all others.
    """
    about = scope(database, visit)
    if about is None:
        raise BadRequestError("there is no ad account yet")
    answer = _ask(about, limit=_MOST_FILE_ROWS, offset=0)
    return f"{about.view.level}_{about.start}_{about.end}.csv", as_file(answer, "csv")


def sparklines(database: Database, visit: Visit) -> dict[str, str]:
    """The points of each object's line: spend by day. Asked for when the table is there."""
    about = scope(database, visit)
    if about is None:
        return {}
    view = about.view
    answer = _ask(about, limit=view.limit, offset=view.offset, measures=())
    ids = [row[view.level] for row in answer.rows if row[view.level] is not None]
    return {name: charts.sparkline(values) for name, values in _sparks(about, ids).items()}


def _ask(about: Scope, *, limit: int, offset: int, measures: tuple[str, ...] = COLUMNS) -> Answer:
    """The rows; those with the most and the sum of the others where ``top`` is asked for.

    The measure that they are sorted by is always among ``measures``.
    """
    view = about.view
    if view.top is not None:
        offset, limit = 0, view.top + 1
    return about.ask(
        measures=measures or (_sort(about).removeprefix("-"),),
        group_by=(view.level,),
        sort=(_sort(about),),
        top=view.top,
        limit=limit,
        offset=offset,
    )


def _sort(about: Scope) -> str:
    sort = about.view.sort
    return sort if sort.removeprefix("-") in COLUMNS else "-spend"


def _sparks(about: Scope, ids: list[str]) -> dict[str, list[Any]]:
    """Spend by day of each object, on all dates of the period, the last 31 at most."""
    if not ids:
        return {}
    level = about.view.level
    start = max(about.start, about.end - timedelta(days=_SPARK_DAYS - 1))
    answer = about.ask(
        measures=("spend",),
        breakdown="day",
        group_by=(level,),
        extra={level: tuple(ids)},
        start=start,
        limit=_MOST_FILE_ROWS,
    )
    days = [start + timedelta(days=n) for n in range((about.end - start).days + 1)]
    place = {day: n for n, day in enumerate(days)}
    found: dict[str, list[Any]] = {}
    for row in answer.rows:
        values = found.setdefault(row[level], [None] * len(days))
        if row["time"] in place:
            values[place[row["time"]]] = row["spend"]
    return found


def _crumbs(about: Scope) -> list[dict[str, Any]]:
    """The objects that the table is below, from the account on, with their names."""
    chosen = [
        (level, getattr(about.view, level))
        for level in ("account", "campaign", "adset")
        if getattr(about.view, level) is not None
    ]
    crumbs = []
    for level, entity in chosen:
        rows = rows_in_workspace(
            about.database, about.workspace_id, sql("objects"), level=level, ids=[entity]
        )
        name = rows[0]["name"] if rows and rows[0]["name"] else entity
        crumbs.append({"level": level, "id": entity, "name": name, "child": CHILDREN[level]})
    return crumbs

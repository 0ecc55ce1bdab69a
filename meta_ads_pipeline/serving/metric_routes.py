"""``GET /workspaces/{workspace_id}/metrics``: any measure by time and dimension, and its trust."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from meta_ads_pipeline.control.api_keys import READ
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.semantic.answer import Answer, Trust, ask, dates_asked_for, unit_of
from meta_ads_pipeline.semantic.layer import semantic_layer
from meta_ads_pipeline.semantic.query import Breakdown, Comparison, MetricQuery
from meta_ads_pipeline.serving.access import ANSWERS, Access, Caller, Problem
from meta_ads_pipeline.serving.metric_formats import MEDIA_TYPES, as_file
from meta_ads_pipeline.serving.problems import BadRequestError, plain, sentences

MOST_JSON_ROWS = 10_000
"""Of one answer as JSON; a file may have 100,000."""

_LAYER = semantic_layer()


def _split(values: Any) -> Any:
    """``a,b`` and repeated parameters are both a list."""
    if isinstance(values, list | tuple):
        return [part.strip() for value in values for part in str(value).split(",") if part.strip()]
    return values


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    start: Annotated[
        date | None,
        Field(description="First date; unset: six days before end.", examples=["2026-11-14"]),
    ] = None
    end: Annotated[
        date | None,
        Field(description="Last date, included; unset: today.", examples=["2026-11-20"]),
    ] = None
    measures: Annotated[
        list[str],
        Field(
            description=f"Comma-separated: {', '.join(_LAYER.measures)}.",
            examples=[["spend,ctr,roas"]],
            max_length=50,
        ),
    ] = ["spend", "impressions", "clicks"]
    breakdown: Annotated[
        Breakdown | None, Field(description="What time is cut into; unset: not at all.")
    ] = None
    group_by: Annotated[
        list[str],
        Field(
            description=f"Comma-separated: {', '.join(_LAYER.dimensions)}.",
            examples=[["campaign"]],
            max_length=20,
        ),
    ] = []
    timezone: Annotated[
        str,
        Field(
            description="IANA name; `account`: each account's own.",
            examples=["Europe/Berlin"],
            max_length=100,
        ),
    ] = "account"
    compare: Annotated[
        Comparison | None,
        Field(description="Adds previous_ and change_ (percent) of each measure."),
    ] = None
    sort: Annotated[
        list[str],
        Field(
            description="Columns, comma-separated, each with - for descending.",
            examples=[["-spend"]],
            max_length=20,
        ),
    ] = []
    top: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Groups to keep; the others are added up as the rest."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=100_000, description="Rows of this page.")] = 1000
    offset: Annotated[int, Field(ge=0, le=10_000_000, description="Rows before it.")] = 0
    format: Annotated[
        Literal["json", "csv", "arrow", "parquet"], Field(description="Of the answer.")
    ] = "json"

    _split_lists = field_validator("measures", "group_by", "sort", mode="before")(_split)


_FILTERS: dict[str, Any] = {
    name: (
        Annotated[
            list[str] | None,
            Field(
                description=f"Only this {each.label.lower()}: {each.description} "
                "May be repeated; empty: those without one.",
                max_length=1000,
            ),
        ],
        None,
    )
    for name, each in _LAYER.dimensions.items()
}

MetricParameters = create_model("MetricParameters", __base__=_Parameters, **_FILTERS)


class Column(BaseModel):
    """A column of the rows. ``unit``: money, count, percent, ratio, people; null: no number."""

    name: str
    label: str
    unit: str | None


class MetricAnswer(BaseModel):
    """Rows, and what to know about them. ``unavailable``: measures without numbers, and why."""

    start: date
    end: date
    previous_start: date | None
    previous_end: date | None
    timezone: str
    columns: list[Column]
    rows: list[dict[str, Any]]
    total_rows: int
    next_offset: int | None
    unavailable: dict[str, str]
    notes: list[str]
    trust: Trust
    marts: list[str]


_EXAMPLE = {
    "start": "2026-11-14", "end": "2026-11-20", "previous_start": None, "previous_end": None,
    "timezone": "account",
    "columns": [
        {"name": "time", "label": "Time", "unit": None},
        {"name": "currency", "label": "Currency", "unit": None},
        {"name": "spend", "label": "Spend", "unit": "money"},
    ],
    "rows": [{"time": "2026-11-14", "currency": "EUR", "spend": "812.40"}],
    "total_rows": 1, "next_offset": None, "unavailable": {}, "notes": [],
    "trust": {
        "account_days": 7, "settled_days": 0, "open_days": 0, "held_days": [],
        "is_settled": False, "is_reconciled": True,
        "oldest_pull_at": "2026-11-21T03:00:00Z", "newest_pull_at": "2026-11-21T03:00:00Z",
        "last_hour_at": "2026-11-20T22:00:00Z",
    },
    "marts": ["marts.account_daily"],
}  # fmt: skip

_METRIC_ANSWERS: dict[int | str, dict[str, Any]] = {
    **ANSWERS,
    200: {
        "model": MetricAnswer,
        "description": "The numbers.",
        "content": {
            "application/json": {"example": _EXAMPLE},
            **{media.split(";")[0]: {} for media in MEDIA_TYPES.values()},
        },
    },
    422: {"model": Problem, "description": "A parameter cannot be used; the detail names it."},
}


def metric_router(database: Database, access: Access) -> APIRouter:
    """The routes of numbers."""
    router = APIRouter(tags=["metrics"])

    @router.get("/workspaces/{workspace_id}/metrics", responses=_METRIC_ANSWERS)
    def metrics(
        caller: Annotated[Caller, Depends(access.require(READ))],
        parameters: Annotated[MetricParameters, Query()],  # type: ignore[valid-type]
    ) -> Response:
        """Measures over dates, cut by time and grouped by dimensions."""
        query = metric_query(database, caller, parameters)
        kind: str = parameters.format  # type: ignore[attr-defined]
        if kind == "json" and query.limit > MOST_JSON_ROWS:
            raise BadRequestError(f"limit: at most {MOST_JSON_ROWS} rows as JSON; use a file")
        answer = ask(database, caller.workspace_id, query)
        if kind == "json":
            return Response(
                document(query, answer).model_dump_json(), media_type="application/json"
            )
        name = f"metrics_{query.start}_{query.end}.{kind}"
        return Response(
            as_file(answer, kind),
            media_type=MEDIA_TYPES[kind],
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "X-Total-Rows": str(answer.total_rows),
                "X-Unavailable": ",".join(answer.unavailable),
            },
        )

    return router


def metric_query(database: Database, caller: Caller, parameters: Any) -> MetricQuery:
    """The question that the parameters ask. Raises ``BadRequestError`` naming the parameter."""
    given = parameters.model_dump(exclude={"format", *_FILTERS})
    start, end = dates_asked_for(database, caller.workspace_id, parameters.start, parameters.end)
    given |= {"start": start, "end": end}
    filters = {
        name: tuple(getattr(parameters, name))
        for name in _FILTERS
        if getattr(parameters, name) is not None
    }
    try:
        return MetricQuery(**given, filters=filters)
    except ValidationError as error:
        raise BadRequestError(sentences(error.errors())) from error


def document(query: MetricQuery, answer: Answer) -> MetricAnswer:
    """The answer as it goes out as JSON."""
    following = query.offset + len(answer.rows)
    previous = query.previous_dates or (None, None)
    return MetricAnswer(
        start=query.start,
        end=query.end,
        previous_start=previous[0],
        previous_end=previous[1],
        timezone=query.timezone,
        columns=[_described(name) for name in answer.columns],
        rows=plain(answer.rows),
        total_rows=answer.total_rows,
        next_offset=following if answer.rows and following < answer.total_rows else None,
        unavailable=answer.unavailable,
        notes=answer.notes,
        trust=answer.trust,
        marts=list(answer.marts),
    )


def _described(name: str) -> Column:
    for prefix, said in (("previous_", "{}, before"), ("change_", "{}, change")):
        measure = name.removeprefix(prefix)
        if measure != name and measure in _LAYER.measures:
            unit = "percent" if prefix == "change_" else unit_of(measure)
            return Column(name=name, label=said.format(_LAYER.measures[measure].label), unit=unit)
    if name in _LAYER.measures:
        return Column(name=name, label=_LAYER.measures[name].label, unit=unit_of(name))
    known: Iterable[str] = _LAYER.dimensions
    label = _LAYER.dimensions[name].label if name in known else name.replace("_", " ").capitalize()
    return Column(name=name, label=label, unit=None)

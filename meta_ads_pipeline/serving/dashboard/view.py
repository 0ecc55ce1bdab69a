"""What a page shows, as its address says it: every link keeps the rest of the view."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from meta_ads_pipeline.semantic.layer import semantic_layer
from meta_ads_pipeline.semantic.query import ACCOUNT_TIMEZONE, Breakdown, known_timezone
from meta_ads_pipeline.serving.parameters import storable
from meta_ads_pipeline.serving.problems import BadRequestError, sentences

PAGE_SIZES = (50, 200, 2000)

TOPS = (10, 25, 100)
"""How many of the best may be shown above the sum of all others; an address may say another."""

Level = Literal["account", "campaign", "adset", "ad"]

PARENTS: Mapping[str, str | None] = {
    "account": None,
    "campaign": "account",
    "adset": "campaign",
    "ad": "adset",
}
"""What each level is below."""

CHILDREN: Mapping[str, str] = {parent: child for child, parent in PARENTS.items() if parent}


def _known_measure(name: str) -> str:
    layer = semantic_layer()
    if name not in layer.measures or name in layer.not_additive:
        raise ValueError(f"{name!r} is none of {', '.join([*layer.sums, *layer.ratios])}")
    return name


Text = Annotated[str, Field(max_length=200), AfterValidator(storable)]


class View(BaseModel):
    """The state of a page. Dates are inclusive; unset ones are those of the page itself."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    start: date | None = None
    end: date | None = None
    since: date | None = None
    account: Text | None = None
    campaign: Text | None = None
    adset: Text | None = None
    currency: Text | None = None
    timezone: Annotated[str, AfterValidator(known_timezone)] = ACCOUNT_TIMEZONE
    breakdown: Breakdown = Breakdown.DAY
    measure: Annotated[str, AfterValidator(_known_measure)] = "spend"
    level: Level = "account"
    sort: Text = "-spend"
    limit: Literal[50, 200, 2000] = 50
    top: Annotated[int, Field(ge=1, le=1000)] | None = None
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    status: Literal["open", "resolved"] | None = None
    connection: Text | None = None
    notice: Text | None = None

    @model_validator(mode="after")
    def _dates_exist(self) -> Self:
        for name in ("start", "end", "since"):
            day = getattr(self, name)
            if day is not None and not 2004 <= day.year <= 2100:
                raise ValueError(f"{name}: expected a date from 2004 to 2100")
        return self

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> View:
        """The view of an address; empty parameters are unset. Raises ``BadRequestError``."""
        given: dict[str, Any] = {name: value for name, value in parameters.items() if value != ""}
        if given.get("limit", "").isdigit():
            given["limit"] = int(given["limit"])
        try:
            return cls(**given)
        except ValidationError as error:
            raise BadRequestError(sentences(error.errors())) from error

    def url(self, path: str, **changes: object) -> str:
        """The address of a page with this view, but for ``changes``; None takes one away."""
        state = {**self.model_dump(mode="json", exclude_defaults=True), **changes}
        state.pop("notice", None)
        if "offset" not in changes:
            state.pop("offset", None)
        query = urlencode({name: value for name, value in state.items() if value is not None})
        return f"{path}?{query}" if query else path

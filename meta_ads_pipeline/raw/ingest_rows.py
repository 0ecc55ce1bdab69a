"""One posted fact: its fields, what each may hold, and what it means."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)

PROVIDERS = ("meta", "google", "tiktok", "linkedin", "other")
LEVELS = ("account", "campaign", "adset", "ad")
COUNTS = ("impressions", "clicks", "link_clicks")
AMOUNTS = ("spend", "purchases", "revenue", "leads", "conversions")
MEASURES = ("spend", *COUNTS, "purchases", "revenue", "leads", "conversions")

_IDS = frozenset(("external_entity_id", "account_id", "campaign_id", "adset_id"))
_NOTHING = (None,) * len(MEASURES)

_ID = r"^[^\s\\\x00-\x1f\x7f]{1,200}$"
"""Ids are text of the provider's own, without spaces and what COPY would have to escape."""


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError(f"{name!r} is not an IANA timezone: expected a name such as Europe/Berlin")
    return name


Id = Annotated[str, Field(pattern=_ID)]
Amount = Annotated[Decimal, Field(ge=0, max_digits=30, decimal_places=12, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**62)]
_EXAMPLE: dict[str, JsonValue] = {
    "provider": "google", "level": "campaign", "external_entity_id": "21903",
    "account_id": "7714523098", "event_at": "2026-11-20T14:00:00+01:00", "grain": "hour",
    "timezone": "Europe/Berlin", "currency": "EUR", "spend": "12.40", "impressions": 1810,
    "clicks": 37,
}  # fmt: skip


class FactRow(BaseModel):
    """What one entity did in one minute, hour or day.

    Named by ``entity_id`` (the uuid that the marts have) or by ``external_entity_id`` and
    ``provider``. ``account_id`` and parents are needed where they are not known from before.
    ``event_at`` is an instant in what the row covers; ``timezone`` is the account's (IANA; unset:
    as known, else the workspace's display timezone, else UTC). Amounts are in
    major units of ``currency``.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    entity_id: UUID | None = None
    external_entity_id: Id | None = None
    provider: Literal["meta", "google", "tiktok", "linkedin", "other"] | None = None
    level: Literal["account", "campaign", "adset", "ad"] | None = None
    account_id: Id | None = None
    campaign_id: Id | None = None
    adset_id: Id | None = None
    grain: Literal["minute", "hour", "day"] = "hour"
    event_at: AwareDatetime
    timezone: Annotated[str, AfterValidator(_known_timezone)] | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    goal: Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9_]+$")] | None = None
    spend: Amount | None = None
    impressions: Count | None = None
    clicks: Count | None = None
    link_clicks: Count | None = None
    purchases: Amount | None = None
    revenue: Amount | None = None
    leads: Amount | None = None
    conversions: Amount | None = None


measures_of = attrgetter(*MEASURES)
"""The values of a row's measures, in their order."""

_validate = FactRow.__pydantic_validator__.validate_python


def read_fact(document: Any) -> FactRow | tuple[str, str]:
    """The fact, or the field at fault and what was expected of it.

    Called for each of 20,000 rows a second: what pydantic would call Python for is done here.
    """
    numbers = []
    if isinstance(document, dict):
        for name, value in document.items():
            if value is True or value is False:  # which pydantic would take for 1 and 0
                return name, f"{name}: expected no boolean"
            if name in _IDS and isinstance(value, int):
                numbers.append(name)
    if numbers:
        document = {**document, **{name: str(document[name]) for name in numbers}}
    try:
        row: FactRow = _validate(document)
    except ValidationError as error:
        problems = []
        for each in error.errors(include_url=False, include_input=False):
            place = ".".join(str(part) for part in each["loc"])
            said = str(each["msg"]).removeprefix("Value error, ")
            problems.append((place, f"{place}: {said}" if place else said))
        return problems[0][0], "; ".join(said for _, said in problems)
    if row.entity_id is None:
        for name in ("external_entity_id", "provider", "level"):
            if getattr(row, name) is None:
                return name, f"{name}: needed where entity_id is not given"
    if measures_of(row) == _NOTHING:
        return "", f"expected at least one of {', '.join(MEASURES)}"
    return row

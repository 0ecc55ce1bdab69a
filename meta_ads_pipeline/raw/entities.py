"""Documents of accounts, campaigns, ad sets, ads and creatives -> rows of the entity tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.raw.json_text import TooDeepError, json_text
from meta_ads_pipeline.raw.normalize import shown

Document: TypeAlias = dict[str, Any]
EntityLevel: TypeAlias = Kind | Literal["account", "custom_conversion"]

SELF_CHANGING = frozenset(
    {"budget_remaining", "amount_spent", "balance", "age", "timezone_offset_hours_utc"}
)
"""Top-level fields that move by themselves: kept current, but no new version of the entity."""

_SIGNED_URL_KEYS = frozenset({"thumbnail_url", "image_url", "picture", "icon_url"})
_CDN = "fbcdn.net"


@dataclass(frozen=True)
class EntityTable:
    """One raw entity table: its own columns, each with the place of its value in a document."""

    level: EntityLevel
    asset: str
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...] = ()
    has_versions: bool = True
    """Whether each distinct document is kept in ``raw.entity_versions``."""

    @property
    def name(self) -> str:
        """The table's qualified name."""
        return f"raw.{self.asset}"


_STATE = {"name": ("name",), "status": ("status",), "effective_status": ("effective_status",)}

ENTITY_TABLES: Mapping[Kind, EntityTable] = {
    "campaign": EntityTable("campaign", "campaigns", {**_STATE, "objective": ("objective",)}),
    "adset": EntityTable(
        "adset", "adsets", {**_STATE, "campaign_id": ("campaign_id",)}, ("campaign_id",)
    ),
    "ad": EntityTable(
        "ad",
        "ads",
        {
            **_STATE,
            "campaign_id": ("campaign_id",),
            "adset_id": ("adset_id",),
            "creative_id": ("creative", "id"),
        },
        ("campaign_id", "adset_id"),
    ),
    "creative": EntityTable("creative", "creatives", {**_STATE, "object_type": ("object_type",)}),
}

CUSTOM_CONVERSIONS = EntityTable(
    "custom_conversion",
    "custom_conversions",
    {
        "name": ("name",),
        "custom_event_type": ("custom_event_type",),
        "rule": ("rule",),
        "pixel_id": ("pixel", "id"),
    },
    has_versions=False,
)
"""Names and rules of the conversions that people define themselves; facts do not refer to them."""


@dataclass(frozen=True)
class EntityRow:
    """One entity: the table's own columns, its document as JSON text, and the hash of it."""

    id: str
    columns: Mapping[str, str | None]
    document: str
    document_hash: str
    is_deleted: bool


@dataclass(frozen=True)
class BadEntity:
    """A document that cannot be used, and why."""

    document: Any
    object_id: str | None
    field: str
    reason: str


def normalize_entities(
    documents: Sequence[Any], table: EntityTable, account_id: str
) -> tuple[list[EntityRow], list[BadEntity]]:
    """Sort documents into rows, one per id (the later of two wins), and bad ones with the reason.

    Status ``DELETED`` makes a row deleted. A document that names another account is bad.
    """
    bad = [
        BadEntity(document, None, "document", f"expected a JSON object, got {shown(document)}")
        for document in documents
        if not isinstance(document, dict)
    ]
    objects = [document for document in documents if isinstance(document, dict)]
    frame = pd.DataFrame(
        {
            "id": _column(objects, ("id",)),
            "account_id": _column(objects, ("account_id",)),
            **{name: _column(objects, path) for name, path in table.columns.items()},
        },
        dtype=object,
    )
    reasons = _failures(entity_schema(table, account_id), frame)
    rows: dict[str, EntityRow] = {}
    for position, (document, record) in enumerate(
        zip(objects, frame.to_dict("records"), strict=True)
    ):
        if position in reasons:
            field, reason = reasons[position]
            found = record["id"] if isinstance(record["id"], str) else None
            bad.append(BadEntity(document, found, field, reason))
            continue
        try:
            text, hashed = json_text(document), document_hash(document)
        except (TooDeepError, RecursionError):
            reason = "document: expected fewer levels of nesting"
            bad.append(BadEntity(document, record["id"], "document", reason))
            continue
        columns = {name: record[name] for name in table.columns}
        deleted = "DELETED" in (record.get("status"), record.get("effective_status"))
        rows[record["id"]] = EntityRow(record["id"], columns, text, hashed, deleted)
    return list(rows.values()), bad


def entity_schema(table: EntityTable, account_id: str) -> pa.DataFrameSchema:
    """What an entity must be: an id, its parents' ids, the account asked for, texts elsewhere."""
    digits = _check(_are_digits, "an id of digits")
    text = _check(_are_texts, "text")
    columns = {
        name: pa.Column(
            object,
            checks=[text, *([digits] if name in table.required else [])],
            nullable=name not in table.required,
        )
        for name in table.columns
    }
    this_account = _check(
        lambda series: series.isin([account_id, f"act_{account_id}"]),
        f"the account asked for ({account_id})",
    )
    return pa.DataFrameSchema(
        {
            "id": pa.Column(object, checks=[text, digits]),
            "account_id": pa.Column(object, checks=[this_account], nullable=True),
            **columns,
        },
        name=table.name,
        strict=True,
    )


def document_hash(document: Mapping[str, Any]) -> str:
    """The same for documents that differ only in what changes by itself.

    Left out: signatures of signed media URLs (they expire and are renewed at every read), what is
    left of a budget, the balance and age of an account.
    """
    stable = {
        key: _without_signatures(key, value)
        for key, value in document.items()
        if key not in SELF_CHANGING
    }
    return hashlib.sha256(json_text(stable, sort_keys=True).encode()).hexdigest()


def _without_signatures(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_signatures(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_signatures(key, item) for item in value]
    if isinstance(value, str) and value.startswith("http"):
        try:
            parts = urlsplit(value)
        except ValueError:
            return value
        if (parts.hostname or "").endswith(_CDN):
            # The same picture comes from whichever edge server is near.
            return parts.path
        if key in _SIGNED_URL_KEYS:
            return f"{parts.netloc}{parts.path}"
    return value


def _column(documents: Sequence[Document], path: tuple[str, ...]) -> list[Any]:
    values: list[Any] = list(documents)
    for step in path:
        values = [value.get(step) if isinstance(value, dict) else None for value in values]
    return [str(value) if _is_number(value) else value for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(test: Callable[[Any], Any], expected: str) -> pa.Check:
    return pa.Check(test, error=expected)


def _are_texts(series: pd.Series[Any]) -> pd.Series[Any]:
    return series.map(lambda value: isinstance(value, str)).astype(bool)


def _are_digits(series: pd.Series[Any]) -> pd.Series[Any]:
    return series.map(
        lambda value: isinstance(value, str) and value.isascii() and value.isdigit()
    ).astype(bool)


def _failures(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> dict[int, tuple[str, str]]:
    """Row position -> first field at fault and the reason."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        failures: dict[int, tuple[str, str]] = {}
        for case in errors.failure_cases.to_dict("records"):
            field = str(case["column"])
            required = case["check"] == "not_nullable"
            expected = "a value (the field is required)" if required else str(case["check"])
            got = "" if required else f", got {shown(case['failure_case'])}"
            failures.setdefault(int(case["index"]), (field, f"{field}: expected {expected}{got}"))
        return failures
    return {}

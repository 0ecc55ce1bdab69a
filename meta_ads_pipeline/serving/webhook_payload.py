"""From the body of a webhook request to events: every change by itself, the odd ones kept.

Shapes are those of Meta's "Webhooks" and "Ads webhooks" pages; a change of any other shape is an
event without an object to read. Nothing is decided by the name of the field: an object is found by
the keys that Meta names objects with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from meta_ads_pipeline.control.webhook_events import WebhookEvent
from meta_ads_pipeline.raw.json_text import json_text, storable_text

_LEVELS = {
    "ad": "ad",
    "adgroup": "ad",  # the API's older name
    "adset": "adset",
    "campaign": "campaign",
    "campaigngroup": "campaign",
    "creative": "creative",
    "adcreative": "creative",
    "account": "account",
    "adaccount": "account",
}
_LEVEL_KEYS = ("object_type", "level")
_ID_KEYS = ("object_id", "id")
_ID_KEYS_OF_A_LEVEL = {
    "adgroup_id": "ad",
    "ad_id": "ad",
    "adset_id": "adset",
    "campaign_id": "campaign",
    "creative_id": "creative",
}
_LONGEST_NAME = 200


class PayloadError(ValueError):
    """The body is not JSON that can be read; the message says what it is."""


def parse_payload(body: bytes) -> list[WebhookEvent]:
    """Every change of the body as an event; raises ``PayloadError`` where it is no JSON at all."""
    try:
        document = json.loads(body, parse_float=_number, parse_constant=str)
        return [event for item in _items(document) for event in _events_of_item(item)]
    except RecursionError as error:
        raise PayloadError("the body is nested too deeply") from error
    except ValueError as error:
        raise PayloadError(f"the body is not JSON: {error}") from error


def _number(text: str) -> str | float:
    """Fractions as their text where a float would not hold them."""
    value = float(text)
    return value if repr(value) == text else text


def _items(document: Any) -> list[Any]:
    """A test from the App Dashboard comes wrapped in a list."""
    return document if isinstance(document, list) else [document]


def _events_of_item(item: Any) -> Iterator[WebhookEvent]:
    entries = item.get("entry") if isinstance(item, Mapping) else None
    if not isinstance(entries, list):
        yield _kept("", None, None, None, item, "not an object with a list of entries")
        return
    topic = _text(item.get("object")) or ""
    for entry in entries:
        if not isinstance(entry, Mapping):
            yield _kept(topic, None, None, None, entry, "an entry that is not an object")
            continue
        account_id, sent_at = _id(entry.get("id")), _instant(entry.get("time"))
        changes = entry.get("changes")
        if not isinstance(changes, list):
            yield _kept(topic, account_id, None, sent_at, entry, "an entry without changes")
            continue
        for change in changes:
            yield from _events_of_change(topic, account_id, sent_at, change)


def _events_of_change(
    topic: str, account_id: str | None, sent_at: datetime | None, change: Any
) -> Iterator[WebhookEvent]:
    field = _text(change.get("field")) if isinstance(change, Mapping) else None
    if field is None:
        yield _kept(topic, account_id, None, sent_at, change, "a change without a field")
        return
    value = change.get("value")
    if topic != "ad_account":
        yield _kept(topic, account_id, field, sent_at, value, "not of an ad account")
        return
    if isinstance(value, Mapping):
        # `subscriptions` names the account in the value; the entry is authoritative.
        account_id = account_id or _id(value.get("ad_account_id", value.get("account_id")))
    objects = _objects(value)
    if account_id in {None, "0"} or not objects:
        reason = "the App Dashboard's test" if account_id == "0" else "names no object to read"
        yield _kept(topic, account_id, field, sent_at, value, reason)
        return
    for level, object_id in objects:
        yield _event(topic, account_id, field, sent_at, value, level=level, object_id=object_id)


def _objects(value: Any) -> list[tuple[str | None, str]]:
    """Level, where it is told, and id of each object that a change names; accounts left out."""
    if not isinstance(value, Mapping):
        return []
    told = next((_text(value[key]) for key in _LEVEL_KEYS if key in value), None)
    level = _LEVELS.get((told or "").lower().replace("_", "").replace(" ", ""))
    if level == "account":
        return []
    for key in _ID_KEYS:
        object_id = _id(value.get(key))
        if object_id is not None:
            return [(level, object_id)]
    found: list[tuple[str | None, str]] = [
        (own_level, object_id)
        for key, own_level in _ID_KEYS_OF_A_LEVEL.items()
        if (object_id := _id(value.get(key))) is not None
    ]
    if found:
        return found[:1]  # the narrowest: the others are its parents
    several = value.get("ad_object_ids")
    ids = [_id(each) for each in several] if isinstance(several, list) else []
    return [(level, each) for each in dict.fromkeys(ids) if each is not None]


def _kept(
    topic: str,
    account_id: str | None,
    field: str | None,
    sent_at: datetime | None,
    value: Any,
    reason: str,
) -> WebhookEvent:
    return _event(topic, account_id, field, sent_at, value, reason=reason)


def _event(
    topic: str,
    account_id: str | None,
    field: str | None,
    sent_at: datetime | None,
    value: Any,
    *,
    level: str | None = None,
    object_id: str | None = None,
    reason: str | None = None,
) -> WebhookEvent:
    text = json_text(value, sort_keys=True)
    at = sent_at.isoformat() if sent_at else ""
    identity = (topic, account_id or "", field or "", at, object_id or "", text)
    return WebhookEvent(
        fingerprint=hashlib.sha256("\x1f".join(identity).encode()).hexdigest(),
        topic=topic,
        account_id=account_id,
        field=field,
        object_level=level,
        object_id=object_id,
        value=text,
        sent_at=sent_at,
        reason=reason,
    )


def _text(value: Any) -> str | None:
    return storable_text(value)[:_LONGEST_NAME] if isinstance(value, str) and value else None


def _id(value: Any) -> str | None:
    """An id as text, without ``act_``; None for what is no id."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).removeprefix("act_")
    return text if text.isascii() and text.isdigit() and len(text) <= 30 else None


def _instant(value: Any) -> datetime | None:
    """Unix seconds as a UTC instant; None for what is none."""
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None

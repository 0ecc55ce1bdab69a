"""Dead letters out of whatever came: without secrets, and always storable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.meta_api.paging import LeftOut
from meta_ads_pipeline.raw.json_text import json_text, storable_text
from meta_ads_pipeline.redaction import REDACTED, SECRET_PARAMETERS, redact

LEFT_OUT_FIELD = "id"
"""The field of dead letters of objects that Meta refused: there is nothing of them but their id."""

_LONGEST_ID = 64
_MOST_LEVELS = 100


def dead_letter(
    *,
    account_id: str,
    asset: str,
    document: Any,
    field: str,
    reason: str,
    object_id: Any = None,
    partition_date: date | None = None,
    source_call: str | None = None,
    key: str | None = None,
    is_dated: bool = True,
    account: Account | None = None,
) -> DeadLetter:
    """A dead letter with the whole ``document`` (a parsed JSON value of any shape).

    ``account``, for rows: whose timezone and currency the row was pulled under.
    """
    return DeadLetter(
        account_id=account_id,
        asset=asset,
        reason=storable_text(redact(reason)),
        document=json_text(_without_secrets(document, _MOST_LEVELS)),
        partition_date=partition_date,
        object_id=None if object_id is None else storable_text(str(object_id)[:_LONGEST_ID]),
        field=field,
        source_call=source_call,
        key=None if key is None else storable_text(key),
        is_dated=is_dated,
        timezone=None if account is None else account.timezone,
        currency=None if account is None else account.currency,
    )


def dead_letter_of_left_out(
    left: LeftOut, *, account_id: str, asset: str, source_call: str
) -> DeadLetter:
    """Of an object in a list that Meta refuses, or of the fields that it refuses of it."""
    return dead_letter(
        account_id=account_id,
        asset=asset,
        reason=left.reason,
        document={"id": left.object_id},
        object_id=left.object_id,
        field=", ".join(left.fields) or LEFT_OUT_FIELD,
        source_call=source_call,
    )


def _without_secrets(value: Any, levels: int) -> Any:
    """Redacted value by value: JSON text must stay JSON. What is nested deeper is left out."""
    if isinstance(value, str):
        return redact(value)
    if levels == 0 and isinstance(value, Mapping | list | tuple):
        return f"(nested more than {_MOST_LEVELS} levels deep)"
    if isinstance(value, Mapping):
        return {
            key: REDACTED if key in SECRET_PARAMETERS else _without_secrets(item, levels - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item, levels - 1) for item in value]
    return value

"""A failure, as it is written on the slices it leaves undone."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date

import psycopg

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.control.slices import Attempt, SliceKey
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.raw.json_text import storable_text
from meta_ads_pipeline.redaction import redact

logger = logging.getLogger(__name__)


EMPTY_ANSWER, EMPTY_DAY = "empty_answer", "empty_day"


class EmptyAnswerError(RuntimeError):
    """A past day that has rows was answered without any; they are kept."""

    kind = EMPTY_ANSWER


class EmptyDayError(EmptyAnswerError):
    """The other level has none of that day either."""

    kind = EMPTY_DAY


def kind_of(error: Exception) -> str:
    """Meta's kinds (``auth``, ...), ``database``, ``empty_answer``, ``empty_day``, ``internal``."""
    if isinstance(error, MetaApiError):
        return str(error.kind)
    if isinstance(error, DatabaseError | psycopg.Error):
        return "database"
    return error.kind if isinstance(error, EmptyAnswerError) else "internal"


def describe(error: Exception) -> str:
    """One line without secrets."""
    text = " ".join(storable_text(redact(error)).split())
    return (
        text
        if isinstance(error, MetaApiError | EmptyAnswerError)
        else f"{type(error).__name__}: {text}"
    )


def mark_undone(
    database: Database, key: SliceKey, dates: Collection[date], by: Attempt, error: Exception
) -> None:
    """Write the failure on those slices that are not done and do not tell it yet.

    A pull marks what it left undone by itself; this is for what failed before it began.
    """
    try:
        told = database.run(lambda connection: slices.told_under(connection, key, by.sync_id))
    except (DatabaseError, psycopg.Error):
        told = set()
    mark_failed(database, key, sorted(set(dates) - told), by, error)


def mark_failed(
    database: Database, key: SliceKey, dates: Collection[date], by: Attempt, error: Exception
) -> None:
    """Write the failure on the slices. A database that is away cannot hide the failure itself."""
    if not dates:
        return
    try:
        kind, message = kind_of(error), describe(error)
        database.run(lambda c: slices.fail(c, key, dates, by, kind=kind, message=message))
    except (DatabaseError, psycopg.Error) as also:
        logger.warning(
            "act_%s %s: the failure could not be recorded: %s",
            *(key.account_id, key.asset, describe(also)),
        )

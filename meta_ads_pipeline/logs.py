"""Logs: lines for people, or JSON documents for machines (``META_ADS_LOG_FORMAT=json``).

Either way no secret is in them. In JSON each document names what it belongs to, as far as it is
known where it was written: ``run_id``, ``sync_id``, ``asset``, ``account_id``, ``dates``,
``call_id``. structlog keeps these by thread and task; ``meta_api`` hands them on to its threads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import structlog

from meta_ads_pipeline.redaction import redact

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

LogFormat = Literal["text", "json"]


def configure_logs(log_format: LogFormat, level: int) -> None:
    """Write what is of ``level`` (of ``logging``) and worse to standard error. Safe to repeat.

    JSON documents begin at ``INFO`` whatever ``level`` says: they are for machines to choose from.
    """
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler()
    if log_format == "json":
        handler.setLevel(min(level, logging.INFO))
        handler.setFormatter(_json_formatter())
    else:
        # On the handler, not the root logger: Dagster sets levels on loggers of its own.
        handler.setLevel(level)
        handler.setFormatter(logging.Formatter(TEXT_FORMAT))
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def log_context(**ids: str) -> AbstractContextManager[Any]:
    """Have every log document of this thread name these ids while the block lasts."""
    return structlog.contextvars.bound_contextvars(**ids)


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, to be told from those that others put on the root logger.

    Writes to what standard error is at that moment: Dagster redirects it while steps run.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def _json_formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            _without_secrets,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
    )


def _without_secrets(
    _logger: object, _method: str, document: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {
        name: value if isinstance(value, int | float | bool | None) else redact(value)
        for name, value in document.items()
    }

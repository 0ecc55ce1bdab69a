"""What is answered when a request cannot be served: one sentence for people, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from meta_ads_pipeline.control.database import DatabaseError
from meta_ads_pipeline.control.row_security import MartsMissingError
from meta_ads_pipeline.errors import ConfigurationError, NotFoundError

logger = logging.getLogger(__name__)


class BadRequestError(ConfigurationError):
    """A parameter cannot be used; the message names it and says what was expected."""


def sentences(errors: Iterable[Any]) -> str:
    """Pydantic's errors as ``field: what was expected``, one after the other."""
    found = []
    for error in errors:
        place = [str(part) for part in error["loc"] if part not in ("query", "body", "path")]
        said = str(error["msg"]).removeprefix("Value error, ")
        found.append(": ".join([".".join(place), said] if place else [said]))
    return "; ".join(found)


def plain(value: Any) -> Any:
    """As JSON has it: decimals as text, times as ISO 8601."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value


def answer_problems(app: FastAPI) -> None:
    """Have every failure of the application answered in the same form."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": sentences(error.errors())}, status_code=422)

    @app.exception_handler(ConfigurationError)
    async def bad(_request: Request, error: ConfigurationError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    @app.exception_handler(NotFoundError)
    async def nothing(_request: Request, error: NotFoundError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=404)

    @app.exception_handler(MartsMissingError)
    async def not_built(_request: Request, error: MartsMissingError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=503)

    @app.exception_handler(psycopg.errors.QueryCanceled)
    async def too_long(_request: Request, _error: Exception) -> JSONResponse:
        detail = "the query took too long: ask for fewer dates or groups"
        return JSONResponse({"detail": detail}, status_code=503)

    @app.exception_handler(DatabaseError)
    @app.exception_handler(psycopg.Error)
    async def away(_request: Request, error: Exception) -> JSONResponse:
        """Nothing was lost: what could not be stored is to be sent again."""
        logger.error("the database cannot be used: %s", type(error).__name__)
        return JSONResponse({"detail": "the database cannot be used; try again"}, status_code=503)

"""The HTTP service as one FastAPI application (``meta-ads serve``, or uvicorn with the factory)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from meta_ads_pipeline import __version__
from meta_ads_pipeline.control.database import Database, DatabaseError, open_database
from meta_ads_pipeline.control.row_security import MartsMissingError
from meta_ads_pipeline.serving.access import Access
from meta_ads_pipeline.serving.health import health_router
from meta_ads_pipeline.serving.metrics import metrics_router
from meta_ads_pipeline.serving.pooled_database import PooledDatabase
from meta_ads_pipeline.serving.protection import API_VERSION, Protection
from meta_ads_pipeline.serving.webhooks import webhook_router
from meta_ads_pipeline.serving.workspaces import workspaces_router
from meta_ads_pipeline.settings import Settings, get_settings

logger = logging.getLogger(__name__)

_DESCRIPTION = f"""
Meta ads numbers that agree with Ads Manager, for one workspace at a time.

Send an API key as `Authorization: Bearer KEY`; `meta-ads keys create` makes one. Every path is the
same under `/v{API_VERSION}`. Amounts are decimal strings in major units of their currency, times
are ISO 8601, a missing number is null and never 0.
"""


def create_app(settings: Settings | None = None, database: Database | None = None) -> FastAPI:
    """The application, on the settings' database unless another is given.

    For uvicorn: ``uvicorn --factory meta_ads_pipeline.serving.app:create_app``. Raises
    ``DatabaseError`` when the database cannot be used.
    """
    settings = settings or get_settings()
    pool = PooledDatabase(database or open_database(settings))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        pool.dispose()

    app = FastAPI(
        title="Meta ads pipeline",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        # Their pages load scripts from other hosts; /openapi.json is the same in any tool.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Protection)
    access = Access(pool, per_minute=settings.requests_per_minute)
    app.include_router(webhook_router(settings, pool))
    app.include_router(health_router(pool))
    app.include_router(metrics_router(pool))
    app.include_router(workspaces_router(pool, access))

    @app.exception_handler(MartsMissingError)
    async def not_built(_request: Request, error: Exception) -> JSONResponse:
        """There is nothing to read yet."""
        return JSONResponse({"detail": str(error)}, status_code=503)

    @app.exception_handler(DatabaseError)
    @app.exception_handler(psycopg.Error)
    async def away(_request: Request, error: Exception) -> JSONResponse:
        """Nothing was lost: what could not be stored is to be sent again."""
        logger.error("the database cannot be used: %s", type(error).__name__)
        return JSONResponse({"detail": "the database cannot be used; try again"}, status_code=503)

    return app

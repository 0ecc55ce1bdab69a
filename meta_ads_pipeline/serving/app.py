"""The HTTP service as one FastAPI application (``meta-ads serve``, or uvicorn with the factory)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import RedirectResponse
from starlette.routing import Route

from meta_ads_pipeline import __version__
from meta_ads_pipeline.control.database import Database, open_database
from meta_ads_pipeline.credentials.connections import register_environment
from meta_ads_pipeline.serving.access import Access
from meta_ads_pipeline.serving.dagster_client import DagsterClient
from meta_ads_pipeline.serving.dashboard.app import Dashboard
from meta_ads_pipeline.serving.dashboard.visits import HOME
from meta_ads_pipeline.serving.health import health_router
from meta_ads_pipeline.serving.ingest import ingest_router
from meta_ads_pipeline.serving.mcp_server import PATH, Authenticated, caller_of_request, mcp_server
from meta_ads_pipeline.serving.metric_routes import metric_router
from meta_ads_pipeline.serving.metrics import metrics_router
from meta_ads_pipeline.serving.pooled_database import PooledDatabase
from meta_ads_pipeline.serving.problems import answer_problems
from meta_ads_pipeline.serving.protection import API_VERSION, Protection
from meta_ads_pipeline.serving.stream import Broadcaster, stream_router
from meta_ads_pipeline.serving.sync_routes import answer_sync_problems, sync_router
from meta_ads_pipeline.serving.syncs import Syncs
from meta_ads_pipeline.serving.trust_routes import trust_router
from meta_ads_pipeline.serving.upkeep import upkeep_router
from meta_ads_pipeline.serving.webhooks import webhook_router
from meta_ads_pipeline.serving.workspaces import workspaces_router
from meta_ads_pipeline.settings import Settings, get_settings

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

    assistants = mcp_server(pool, caller_of_request)
    assistants_app = assistants.streamable_http_app()

    broadcaster = Broadcaster(pool)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # Known from the first start on, not from the first run.
        register_environment(pool, settings)
        await broadcaster.start()
        async with assistants.session_manager.run():
            yield
        await broadcaster.stop()
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
    app.include_router(metrics_router(pool, settings.home))
    app.include_router(workspaces_router(pool, access))
    app.include_router(metric_router(pool, access))
    app.include_router(ingest_router(settings, pool, access))
    app.include_router(trust_router(pool, access))
    app.include_router(upkeep_router(pool, access))
    app.include_router(stream_router(pool, access, broadcaster))
    syncs = Syncs(settings, pool, DagsterClient(settings.dagster_url))
    app.include_router(sync_router(syncs, access))
    app.mount("/dashboard", Dashboard(pool, access, syncs, broadcaster).application())
    app.router.routes.append(Route("/", lambda _request: RedirectResponse(HOME)))
    app.router.routes.append(Route(PATH, Authenticated(assistants_app, access)))
    answer_problems(app)
    answer_sync_problems(app, syncs.dagster.link)
    return app

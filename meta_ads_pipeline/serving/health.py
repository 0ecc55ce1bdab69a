"""Health: ``/health/live`` (the process answers), ``/health/ready`` (so does the database)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.access import Problem


class Health(BaseModel):
    """How the service is. ``schema_version`` is that of the control schema."""

    status: str
    schema_version: str | None = None


_ANSWERS: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "The database is away."}
}


def health_router(database: Database) -> APIRouter:
    """The routes of health; the error handler answers 503 while the database is away."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> Health:
        """The process answers."""
        return Health(status="ok")

    @router.get("/health/ready", responses=_ANSWERS)
    @router.get("/health", responses=_ANSWERS)
    def ready() -> Health:
        """The database answers, and its schema is there."""
        row = database.run(
            lambda connection: connection.execute(
                "select version_num from control.schema_version"
            ).fetchone()
        )
        return Health(status="ok", schema_version=row["version_num"] if row else None)

    return router

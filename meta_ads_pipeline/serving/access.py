"""Who asks: an API key as a bearer token, its workspace, and what it may be used for.

A request without a usable key is answered 401, one with a key for something else 403, each with
the same words whether or not what was asked for exists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import HTTPException, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from meta_ads_pipeline.control.api_keys import ApiKey, usable_key
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.rate_limits import RateLimiter

REFUSED = "this key may not be used for that"
UNKNOWN = "a usable API key is needed: Authorization: Bearer KEY (see `meta-ads keys create`)"

_bearer = HTTPBearer(
    auto_error=False, description="An API key, as `meta-ads keys create` prints it."
)

WorkspaceId = Annotated[
    str,
    Path(
        description="The workspace's id or name.",
        examples=["default"],
        min_length=1,
        max_length=200,
    ),
]


class Problem(BaseModel):
    """What went wrong and what to do, for people."""

    detail: str


ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be read."},
    401: {"model": Problem, "description": "No usable key."},
    403: {"model": Problem, "description": "The key is not for that."},
    429: {"model": Problem, "description": "Too many requests: see Retry-After."},
    503: {"model": Problem, "description": "The database or the marts are not there now."},
}
"""What every route that needs a key may also answer, for its OpenAPI document."""


@dataclass(frozen=True)
class Caller:
    """A request's key, in the workspace that it opens."""

    workspace_id: str
    workspace: str
    key_id: str
    member: str
    scopes: frozenset[str]

    @classmethod
    def of(cls, key: ApiKey) -> Caller:
        """Whoever sent this key."""
        return cls(key.workspace_id, key.workspace, key.key_id, key.member, key.allowed)


class Access:
    """Makes the dependencies of routes that need a key, on one database."""

    def __init__(
        self, database: Database, *, per_minute: int, failures_per_minute: int = 60
    ) -> None:
        self._database = database
        self._callers = RateLimiter(per_minute, burst=max(1, per_minute // 2))
        self._failures = RateLimiter(failures_per_minute, burst=failures_per_minute)

    def require(self, scope: str) -> Callable[..., Caller]:
        """A dependency: the ``Caller``, whose key opens the path's workspace for ``scope``.

        It answers 401, 403 or 429 itself.
        """

        def caller(
            request: Request,
            workspace_id: WorkspaceId,
            credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        ) -> Caller:
            text = credentials.credentials if credentials else ""
            found = self.identify(request, text, scope)
            if workspace_id not in (found.workspace_id, found.workspace):
                raise HTTPException(403, REFUSED)
            return found

        return caller

    def identify(self, request: Request, text: str, scope: str) -> Caller:
        """The caller whose key this is. Raises ``HTTPException`` 401, 403 or 429."""
        key = usable_key(self._database, text)
        if key is None:
            address = request.client.host if request.client else ""
            _refuse_after(self._failures.wait(address))
            raise HTTPException(401, UNKNOWN, headers={"WWW-Authenticate": "Bearer"})
        self.admit(key)
        if scope not in key.allowed:
            raise HTTPException(403, REFUSED)
        return Caller.of(key)

    def admit(self, key: ApiKey) -> None:
        """Count a request with this key. Raises ``HTTPException`` 429."""
        _refuse_after(self._callers.wait(key.key_id))


def _refuse_after(seconds: int) -> None:
    if seconds:
        raise HTTPException(429, "too many requests", headers={"Retry-After": str(seconds)})

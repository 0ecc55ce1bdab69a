"""What holds for every request: its size, the path's version, security headers of its answer."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_VERSION = "1"

LARGEST_BODY = 1024 * 1024
"""Bytes of a request, unless its path is in ``OTHER_LIMITS``."""

OTHER_LIMITS: dict[str, int | None] = {"/webhooks/": None, "/metrics/ingest": None}
"""By the beginning or the end of a path; None: the route has its own."""

_HEADERS = {
    "API-Version": API_VERSION,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""As OWASP's REST Security Cheat Sheet has them; a route may set its own before."""

_HTTPS_ONLY = "max-age=31536000; includeSubDomains"


class Protection:
    """ASGI middleware. ``/v1/...`` is the same as the path without: the version that is served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        prefix = f"/v{API_VERSION}"
        if scope["path"].startswith(prefix + "/"):
            scope = {**scope, "path": scope["path"].removeprefix(prefix)}
        is_secure = scope["scheme"] == "https"

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if is_secure:
                    headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)
            await send(message)

        limit = _limit(scope["path"])
        if limit is not None:
            announced = dict(scope["headers"]).get(b"content-length", b"0")
            if announced.isdigit() and int(announced) > limit:
                answer = JSONResponse({"detail": _too_large(limit)}, status_code=413)
                await answer(scope, receive, protected)
                return
            receive = _counting(receive, limit)
        await self._app(scope, receive, protected)


def _limit(path: str) -> int | None:
    for part, limit in OTHER_LIMITS.items():
        if path.startswith(part) or path.endswith(part):
            return limit
    return LARGEST_BODY


def _counting(receive: Receive, limit: int) -> Receive:
    """A body that was announced as small, or not at all, and grows beyond the limit is refused."""
    size = 0

    async def counted() -> Any:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit} bytes"

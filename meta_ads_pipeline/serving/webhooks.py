"""The receiver of Meta's webhooks: ``/webhooks/meta``.

Answers the handshake, proves each request by its signature over the bytes as they came, and answers
200 only when every change is stored: what was not, Meta sends again for 36 hours ("Webhooks" page).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from pydantic import SecretStr

from meta_ads_pipeline.control import dead_letters, webhook_events
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.raw.json_text import json_text
from meta_ads_pipeline.serving.access import Problem
from meta_ads_pipeline.serving.webhook_payload import PayloadError, parse_payload
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

LARGEST_BODY = 4 * 1024 * 1024
"""Bytes. Meta sends up to 1,000 changes a request, of some 300 bytes each."""

WEBHOOKS_ASSET = "webhooks"
"""Of dead letters: a signed body that is no JSON."""


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


_ANSWERS: dict[int | str, dict[str, Any]] = {
    403: _refusal("Neither Meta's signature nor our token."),
    503: {
        "model": Problem,
        **_refusal("The secret that it is checked with is not set here; or the database is away."),
    },
}


def webhook_router(settings: Settings, database: Database) -> APIRouter:
    """The routes of the receiver."""
    router = APIRouter(tags=["webhooks"])

    @router.get("/webhooks/meta", response_class=PlainTextResponse, responses=_ANSWERS)
    def verify(
        mode: Annotated[str, Query(alias="hub.mode")] = "",
        challenge: Annotated[str, Query(alias="hub.challenge")] = "",
        token: Annotated[str, Query(alias="hub.verify_token")] = "",
    ) -> PlainTextResponse:
        """Answer Meta's handshake: the challenge, when the verify token is ours."""
        expected = settings.app_verify_token
        if expected is None:
            return PlainTextResponse("META_APP_VERIFY_TOKEN is not set here", status_code=503)
        is_ours = hmac.compare_digest(token.encode(), expected.get_secret_value().encode())
        if mode != "subscribe" or not is_ours:
            return PlainTextResponse("the verify token is another one", status_code=403)
        return PlainTextResponse(challenge)

    @router.post(
        "/webhooks/meta",
        response_class=Response,
        responses={**_ANSWERS, 413: _refusal("Too large.")},
    )
    async def receive(request: Request) -> Response:
        """Store every change of a signed request, each once, then answer 200."""
        body = await _body(request)
        if body is None:
            return await _refused(database, "too large", 413, LARGEST_BODY)
        if settings.app_secret is None:
            logger.error("a webhook cannot be verified: META_APP_SECRET is not set")
            return await _refused(database, "no app secret", 503, len(body))
        if not is_signed(request, body, settings.app_secret, allow_sha1=settings.webhook_sha1):
            return await _refused(database, "bad signature", 403, len(body))
        await run_in_threadpool(_keep, database, body)
        return Response(status_code=200)

    return router


def is_signed(request: Request, body: bytes, secret: SecretStr, *, allow_sha1: bool) -> bool:
    """Whether a signature header proves the body, as it came, to be Meta's.

    The SHA-1 header counts only where it is allowed and the SHA-256 one is absent: whoever can
    leave a header out must not choose the weaker proof.
    """
    key = secret.get_secret_value().encode()
    header = request.headers.get("x-hub-signature-256")
    if header is not None:
        return _matches(header, "sha256=", hmac.new(key, body, hashlib.sha256).hexdigest())
    header = request.headers.get("x-hub-signature")
    if header is not None and allow_sha1:
        return _matches(header, "sha1=", hmac.new(key, body, hashlib.sha1).hexdigest())
    return False


def _matches(header: str, prefix: str, digest: str) -> bool:
    return hmac.compare_digest(header.strip().lower().encode(), f"{prefix}{digest}".encode())


async def _body(request: Request) -> bytes | None:
    """The bytes as they came; None when there are more than ``LARGEST_BODY``."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _keep(database: Database, body: bytes) -> None:
    try:
        events = parse_payload(body)
    except PayloadError as error:
        letter = DeadLetter(
            account_id="",
            asset=WEBHOOKS_ASSET,
            reason=str(error)[:500],
            document=json_text(body.decode("utf-8", "replace")),
            source_call="POST /webhooks/meta",
        )
        database.run(lambda connection: dead_letters.record(connection, [letter]))
        webhook_events.count_refused(database, "not json", body_bytes=len(body))
        logger.warning("a signed webhook is no JSON and was kept as a dead letter: %s", error)
        return
    webhook_events.store(database, events, body_bytes=len(body))


async def _refused(database: Database, outcome: str, status: int, size: int) -> Response:
    await run_in_threadpool(webhook_events.count_refused, database, outcome, body_bytes=size)
    return Response(outcome, status_code=status, media_type="text/plain")

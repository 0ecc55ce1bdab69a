"""``POST /workspaces/{workspace_id}/metrics/ingest``: facts of other providers and finer grains."""

import asyncio
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from meta_ads_pipeline.control.api_keys import INGEST
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.raw.ingest import (
    INSERTED,
    REJECTED,
    UNCHANGED,
    UPDATED,
    RowResult,
    Unreadable,
    land_facts,
)
from meta_ads_pipeline.raw.ingest_rows import FactRow
from meta_ads_pipeline.serving.access import ANSWERS, Access, Caller, Problem
from meta_ads_pipeline.settings import Settings

MOST_ROWS = 50_000
"""Of one request; all of it is one transaction."""

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of a request, after decompression."""

_AT_ONCE = 4
"""Requests whose rows are in memory at the same time; the others wait."""

_JSON, _NDJSON = "application/json", "application/x-ndjson"
_NDJSON_NAMES = (_NDJSON, "application/jsonl", "application/jsonlines", "application/json-lines")


class IngestedRow(BaseModel):
    """What became of a row. ``status``: inserted, updated, unchanged, rejected."""

    index: int
    status: str
    natural_key: str | None
    field: str | None
    reason: str | None


class IngestAnswer(BaseModel):
    """What became of the rows, in order. Rejected ones are kept as dead letters."""

    detail: str
    received: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    rows: list[IngestedRow]


_ANSWERS: dict[int | str, dict[str, Any]] = {
    **ANSWERS,
    200: {"model": IngestAnswer, "description": "At least one row is in place."},
    413: {"model": Problem, "description": f"More than {MOST_ROWS} rows, or too many bytes."},
    415: {"model": Problem, "description": "Neither JSON nor NDJSON, or an unknown encoding."},
    422: {
        "description": "No row could be used, or the idempotency key was used for another body.",
        "content": {
            _JSON: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/IngestAnswer"},
                        {"$ref": "#/components/schemas/Problem"},
                    ]
                }
            }
        },
    },
}

_NO_ROW = "no row could be used"
_NONE_LANDED = b'{"detail":"' + _NO_ROW.encode()
"""An answer begins so: it is not read again for that, with its thousands of rows."""

_FACT = FactRow.model_json_schema()
_BODY = {
    "required": True,
    "description": "One fact, a list of facts, or a fact on each line; gzip is accepted.",
    "content": {
        _JSON: {"schema": {"anyOf": [_FACT, {"type": "array", "items": _FACT, "minItems": 1}]}},
        _NDJSON: {"schema": {"type": "string"}},
    },
}


def ingest_router(settings: Settings, database: Database, access: Access) -> APIRouter:
    """The route of posted facts."""
    router = APIRouter(tags=["ingest"])
    places = asyncio.Semaphore(_AT_ONCE)
    first_date = date.fromisoformat(settings.history_start)

    @router.post(
        "/workspaces/{workspace_id}/metrics/ingest",
        responses=_ANSWERS,
        openapi_extra={"requestBody": _BODY},
    )
    async def ingest(
        request: Request,
        caller: Annotated[Caller, Depends(access.require(INGEST))],
        idempotency_key: Annotated[
            str | None,
            Header(
                description="The same request sent again with the same key is answered as before.",
                min_length=1,
                max_length=200,
            ),
        ] = None,
    ) -> Response:
        """Put facts in place by their natural_key; the marts have them within a minute."""
        kind = _kind(request)
        async with places:
            body = await _body(request)
            answer, status = await run_in_threadpool(
                _ingest, database, caller, body, kind, idempotency_key, first_date
            )
        return Response(answer, status_code=status, media_type=_JSON)

    return router


def _ingest(
    database: Database,
    caller: Caller,
    body: bytes,
    kind: str,
    key: str | None,
    first_date: date,
) -> tuple[bytes, int]:
    """The answer and its status."""
    documents = _documents(body, kind)

    def work(connection: Connection) -> bytes:
        before = _answered_before(connection, caller, key, body) if key is not None else None
        if before is not None:
            return before
        results = land_facts(
            connection,
            caller.workspace_id,
            documents,
            first_date=first_date,
            source_call="POST /metrics/ingest",
        )
        answer = _answer(results)
        if key is not None:
            connection.execute(
                "update control.ingest_requests set response = %s"
                " where workspace_id = %s and idempotency_key = %s",
                [zlib.compress(answer, 1), caller.workspace_id, key],
            )
        return answer

    answer = database.run(work)
    return answer, 422 if answer.startswith(_NONE_LANDED) else 200


def _answered_before(connection: Connection, caller: Caller, key: str, body: bytes) -> bytes | None:
    """What was answered to this key; claims it where it is new. Waits for the same one at work."""
    asked = [caller.workspace_id, key, hashlib.sha256(body).digest()]
    claimed = connection.execute(
        "insert into control.ingest_requests (workspace_id, idempotency_key, body_hash)"
        " values (%s, %s, %s) on conflict do nothing returning 1",
        asked,
    ).fetchone()
    if claimed is not None:
        return None
    row = connection.execute(
        "select body_hash, response from control.ingest_requests"
        " where workspace_id = %s and idempotency_key = %s",
        asked[:2],
    ).fetchone()
    if row is None or row["body_hash"] != asked[2]:
        raise HTTPException(422, "Idempotency-Key: was used for another body: take a new one")
    return zlib.decompress(row["response"])


def _answer(results: list[RowResult]) -> bytes:
    counts = Counter(result.status for result in results)
    landed = len(results) - counts[REJECTED]
    said = f"{landed} of {len(results)} rows are in place" if landed else _NO_ROW
    if not landed:
        said += f": {results[0].reason}"
    return orjson.dumps(
        {
            "detail": said,
            "received": len(results),
            **{status: counts[status] for status in (INSERTED, UPDATED, UNCHANGED, REJECTED)},
            "rows": results,
        }
    )


def _kind(request: Request) -> str:
    given = request.headers.get("content-type", _JSON).split(";")[0].strip().lower()
    if given in _NDJSON_NAMES:
        return _NDJSON
    if given == _JSON:
        return _JSON
    raise HTTPException(415, f"Content-Type: expected {_JSON} or {_NDJSON}")


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise HTTPException(415, "Content-Encoding: expected gzip or none")
    chunks, size = [], 0
    async for chunk in _decoded(request, encoding):
        size += len(chunk)
        if size > LARGEST_BODY:
            raise HTTPException(413, f"the body is larger than {LARGEST_BODY} bytes: split it")
        chunks.append(chunk)
    return b"".join(chunks)


async def _decoded(request: Request, encoding: str) -> AsyncIterator[bytes]:
    """In pieces of bounded size: a small body may unpack to a very large one."""
    unpacker = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    try:
        async for chunk in request.stream():
            if unpacker is None:
                yield chunk
                continue
            rest = chunk
            while rest:
                yield unpacker.decompress(rest, 1024 * 1024)
                rest = unpacker.unconsumed_tail
    except zlib.error as error:
        raise HTTPException(400, f"Content-Encoding: the body is no gzip: {error}") from error
    if unpacker is not None and not unpacker.eof:
        raise HTTPException(400, "Content-Encoding: the body ends before its gzip does")


def _documents(body: bytes, kind: str) -> list[Any]:
    """The facts; a line of NDJSON that is no JSON is one that cannot be read."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is no UTF-8: {error.reason}") from error
    if kind == _NDJSON:
        lines = [line for line in text.split("\n") if line.strip()]
        _refuse_many(len(lines))
        found = [_parsed_line(line) for line in lines]
    else:
        try:
            parsed = _parsed(text)
        except ValueError as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from error
        found = parsed if isinstance(parsed, list) else [parsed]
        _refuse_many(len(found))
    if not found:
        raise HTTPException(422, "the body has no fact")
    return found


def _refuse_many(rows: int) -> None:
    if rows > MOST_ROWS:
        raise HTTPException(413, f"{rows} rows: at most {MOST_ROWS} in one request")


def _parsed_line(line: str) -> Any:
    try:
        return _parsed(line)
    except ValueError as error:
        return Unreadable(line, f"no JSON: {error}")


def _parsed(text: str) -> Any:
    """Numbers with a point are exact decimals. Raises ``ValueError``."""
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number)

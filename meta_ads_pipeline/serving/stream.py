"""``GET /workspaces/{workspace_id}/stream``: what changed, as it changes (server-sent events).

Events are rows of ``control.stream_events``, written by triggers and numbered; Postgres tells each
process that there are new ones (LISTEN/NOTIFY) on one connection, and the process tells its
listeners. Who comes back with ``Last-Event-ID`` is first given what was missed.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypeAlias

import psycopg
from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from psycopg.rows import dict_row

from meta_ads_pipeline.control.api_keys import READ
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.row_security import in_workspace
from meta_ads_pipeline.serving.access import ANSWERS, Access, Caller

logger = logging.getLogger(__name__)

CHANNEL = "meta_ads_stream"

_MOST_REPLAYED = 1000
_QUEUE = 100
_KEEPALIVE_SECONDS = 20.0
_RETRY_MILLISECONDS = 3000
_RECONNECT_SECONDS = 2.0
_PAGE = 10_000

_EVENTS = (
    "select event_id, workspace_id::text as workspace_id, kind, data from control.stream_events"
)


EventQueue: TypeAlias = "asyncio.Queue[tuple[int, bytes] | None]"


class Broadcaster:
    """One listening connection of the process, and who waits for what it hears."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, set[EventQueue]] = {}
        self._task: asyncio.Task[None] | None = None
        self._last_id: int | None = None
        self._is_ready = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen; streams wait for it, the start of the service does not."""
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def ready(self) -> None:
        """Wait until what is written from now on is heard."""
        await self._is_ready.wait()

    async def stop(self) -> None:
        """End every stream and the connection."""
        for queues in self._listeners.values():
            for queue in queues:
                _put(queue, None)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._listeners.values()))

    def subscribe(self, workspace_id: str) -> EventQueue:
        """A queue of events' ids with their text; None: the stream is over."""
        queue: EventQueue = asyncio.Queue(_QUEUE)
        self._listeners.setdefault(workspace_id, set()).add(queue)
        return queue

    def unsubscribe(self, workspace_id: str, queue: EventQueue) -> None:
        """Forget a queue."""
        queues = self._listeners.get(workspace_id, set())
        queues.discard(queue)
        if not queues:
            self._listeners.pop(workspace_id, None)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._database.url,
                    autocommit=True,
                    row_factory=dict_row,
                    application_name="meta-ads stream",
                )
                async with connection:
                    await connection.execute(f"listen {CHANNEL}")
                    while True:
                        await self._send_new(connection)
                        self._is_ready.set()
                        # Ends with the first: while it waits, the connection answers nothing else.
                        async for _ in connection.notifies(stop_after=1):
                            pass
            except psycopg.Error as error:
                logger.warning("the stream's connection: %s; again soon", type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _send_new(self, connection: psycopg.AsyncConnection[dict[str, Any]]) -> None:
        """Send what was written since; the first time only note where it is."""
        if self._last_id is None:
            cursor = await connection.execute(
                "select coalesce(max(event_id), 0) as id from control.stream_events"
            )
            row = await cursor.fetchone()
            assert row is not None
            self._last_id = int(row["id"])
            return
        rows: list[dict[str, Any]] | None = None
        while rows is None or len(rows) == _PAGE:
            cursor = await connection.execute(
                f"{_EVENTS} where event_id > %s order by event_id limit {_PAGE}", [self._last_id]
            )
            rows = await cursor.fetchall()
            for row in rows:
                self._last_id = int(row["event_id"])
                event = (self._last_id, as_event(row))
                for queue in tuple(self._listeners.get(row["workspace_id"], ())):
                    _put(queue, event)


def as_event(row: dict[str, Any]) -> bytes:
    """An event as it is sent."""
    data = json.dumps(row["data"], separators=(",", ":"))
    return f"id: {row['event_id']}\nevent: {row['kind']}\ndata: {data}\n\n".encode()


def _put(queue: EventQueue, event: tuple[int, bytes] | None) -> None:
    """Who does not read is told to come back: the last event's id brings what was missed."""
    try:
        queue.put_nowait(event)
    except asyncio.QueueFull:
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


def missed(database: Database, workspace_id: str, after: int) -> list[dict[str, Any]]:
    """The workspace's latest 1,000 events after this id, the oldest first."""
    newest_first = in_workspace(
        database,
        workspace_id,
        lambda connection: connection.execute(
            f"{_EVENTS} where workspace_id = %s and event_id > %s order by event_id desc limit %s",
            [workspace_id, after, _MOST_REPLAYED],
        ).fetchall(),
    )
    return newest_first[::-1]


def stream_router(database: Database, access: Access, broadcaster: Broadcaster) -> APIRouter:
    """The route of the stream."""
    router = APIRouter(tags=["stream"])

    @router.get(
        "/workspaces/{workspace_id}/stream",
        response_class=StreamingResponse,
        responses={**ANSWERS, 200: {"content": {"text/event-stream": {}}}},
    )
    async def stream(
        caller: Annotated[Caller, Depends(access.require(READ))],
        last_event_id: Annotated[
            int | None,
            Header(description="What was missed since is sent first.", ge=0, le=2**63 - 1),
        ] = None,
    ) -> StreamingResponse:
        """`last_updated`, `anomaly` and `sync` as they happen; a comment every 20 seconds."""
        return stream_response(database, caller.workspace_id, broadcaster, last_event_id)

    return router


def stream_response(
    database: Database, workspace_id: str, broadcaster: Broadcaster, last_event_id: int | None
) -> StreamingResponse:
    """The answer to a listener of a workspace, who has heard all up to ``last_event_id``."""
    return StreamingResponse(
        event_stream(database, workspace_id, broadcaster, last_event_id),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def event_stream(
    database: Database, workspace_id: str, broadcaster: Broadcaster, last_event_id: int | None
) -> AsyncIterator[bytes]:
    """What a listener of a workspace is sent, first what came after ``last_event_id``."""
    queue = broadcaster.subscribe(workspace_id)  # first, so that nothing falls between
    sent = last_event_id or 0
    try:
        await broadcaster.ready()
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        if last_event_id is not None:
            for row in await run_in_threadpool(missed, database, workspace_id, last_event_id):
                sent = int(row["event_id"])
                yield as_event(row)
        while True:
            try:
                event = await asyncio.wait_for(queue.get(), _KEEPALIVE_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if event is None:
                return
            event_id, text = event
            if event_id > sent:
                sent = event_id
                yield text
    finally:
        broadcaster.unsubscribe(workspace_id, queue)

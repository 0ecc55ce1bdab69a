"""The ASGI application: HTTP on one side, Graph calls on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl

import orjson

from meta_graph_simulator.accounts.source import AccountSource
from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.endpoints.batch import answer_batch, take_credentials
from meta_graph_simulator.endpoints.routing import Graph, split_path
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import GraphError, new_trace_id
from meta_graph_simulator.http.control import Control

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
CONTROL_PREFIX = "/_simulator"
RESET_EXTENSION = "tcp.reset"


class SimulatorApp:
    """ASGI application over one simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.graph = Graph(simulator)
        self.control = Control(simulator)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI scope: HTTP requests and the server's start and stop."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        if scope["path"].startswith(CONTROL_PREFIX):
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            path = scope["path"].removeprefix(CONTROL_PREFIX)
            answer = await self.control.answer(scope["method"], path, query, body)
        else:
            self.simulator.stats.http_requests += 1
            answer = await self._graph_answer(scope, body)
        await _respond(scope, receive, send, answer)

    async def _graph_answer(self, scope: Scope, body: bytes) -> Answer:
        try:
            call = read_call(scope, body)
        except GraphError as error:
            return Answer.error(error, new_trace_id())
        if not call.segments and call.method == "POST" and "batch" in call.params:
            return await self._batch_answer(call)
        return await self.graph.answer(call)

    async def _batch_answer(self, call: GraphCall) -> Answer:
        call.edge = "batch"
        faults = self.simulator.faults
        await asyncio.sleep(faults.delay(call))
        try:
            answer = faults.replace(call) or await answer_batch(self.graph, call)
        except GraphError as error:
            answer = Answer.error(faults.reword(call, error), call.trace_id)
        if answer.reset_after is None:
            faults.send(call, answer)
        return answer


def create_app(
    config: SimulatorConfig,
    sources: Iterable[AccountSource] | None = None,
    clock: SimulatedClock | None = None,
) -> SimulatorApp:
    """The ASGI application for a configuration.

    Without ``sources`` the accounts that the configuration asks for are built; without ``clock``
    one starts as configured. Sources that report today's hours must be built on the same clock.
    """
    clock = clock or SimulatedClock(config.start_time, speed=config.clock_speed)
    if sources is None:
        from meta_graph_simulator.http.configured import build_sources

        sources = build_sources(config, clock)
    return SimulatorApp(Simulator(config, sources, clock))


def read_call(scope: Scope, body: bytes) -> GraphCall:
    """A Graph call from an HTTP request: parameters of query and body together.

    Raises GraphError: a body that is not what its content type says.
    """
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    if body:
        params |= _body_params(headers.get(b"content-type", ""), body)
    token, proof = take_credentials(params)
    kind, _, credentials = headers.get(b"authorization", "").partition(" ")
    if kind.lower() in {"bearer", "oauth"} and credentials:
        token = token or credentials.strip()
    version, segments = split_path(scope["path"])
    method = str(scope["method"])
    if method == "POST" and "method" in params:
        method = params.pop("method").upper()
    return GraphCall(
        method="GET" if method == "HEAD" else method,
        segments=segments,
        params=params,
        base_url=f"{scope['scheme']}://{headers.get(b'host', 'localhost')}",
        version=version,
        token=token,
        proof=proof,
    )


def _body_params(content_type: str, body: bytes) -> dict[str, str]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise GraphError(100, "(#100) The body is not valid JSON") from None
        if not isinstance(document, dict):
            raise GraphError(100, "(#100) The body must be a JSON object")
        return {
            name: value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in document.items()
        }
    if kind == "multipart/form-data":
        head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1")
        message = BytesParser().parsebytes(head + body)
        parts = message.get_payload()
        found: dict[str, str] = {}
        for part in parts if isinstance(parts, list) else ():
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            payload = part.get_payload(decode=True)  # type: ignore[union-attr]
            if isinstance(name, str) and isinstance(payload, bytes):
                found[name] = payload.decode()
        return found
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts)


async def _respond(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"private, no-cache, no-store, must-revalidate"),
        *((name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers),
    ]
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    if answer.reset_after is None:
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})
        return
    if answer.reset_after >= 0:
        await send(start)
        part = answer.body[: int(len(answer.body) * answer.reset_after)]
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0.01)  # let the part reach the client before the reset drops it
    reset: Callable[[], None] | None = scope.get("extensions", {}).get(RESET_EXTENSION)
    if reset is None:
        raise ConnectionResetError("fault: connection reset")
    reset()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        kind = message["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return

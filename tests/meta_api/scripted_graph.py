"""A real HTTP server that answers what a test scripts: exact failure sequences, byte for byte."""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    """One request as the server saw it; `params` holds query and form together."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]

    @property
    def params(self) -> dict[str, str]:
        return {**self.query, **self.form}

    def json(self, name: str) -> Any:
        return json.loads(self.params[name])


@dataclass
class Reply:
    """What to answer. `body` bytes go out as they are, anything else as JSON."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False  # close the connection instead of answering
    cut: int = 0  # announce the whole body, send so many bytes less, and close
    delay: float = 0.0


def error(code: int, message: str = "no", status: int = 400, **members: Any) -> Reply:
    """An error answer with Meta's envelope."""
    body = {"error": {"message": message, "type": "OAuthException", "code": code, **members}}
    return Reply(body, status)


def page(rows: list[dict], after: str | None = None, *, more: bool = False) -> Reply:
    """A page; `next` points to a host that must never be called."""
    paging: dict[str, Any] = {"cursors": {"before": "b", "after": after or "end"}}
    if more:
        paging["next"] = f"http://127.0.0.1:9/v26.0/x?access_token=EAAleak&limit=2&after={after}"
    return Reply({"data": rows, "paging": paging})


class ScriptedGraph:
    """Answers from `handler` if set, else from the queue; keeps every request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.replies: deque[Reply] = deque()
        self.handler: Callable[[Request], Reply] | None = None
        self.in_flight = 0
        self.most_in_flight = 0
        self._lock = threading.Lock()
        graph = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                graph.answer(self)

            def do_POST(self) -> None:
                graph.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args: Any) -> None:
                """Clients that hang up are part of the tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reply(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        split = urlsplit(http.path)
        length = int(http.headers.get("Content-Length") or 0)
        form = dict(parse_qsl(http.rfile.read(length).decode(), keep_blank_values=True))
        request = Request(
            http.command,
            split.path,
            dict(parse_qsl(split.query, keep_blank_values=True)),
            form,
            {name.lower(): value for name, value in http.headers.items()},
        )
        with self._lock:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            reply = None if self.handler else self._next()
        try:
            if self.handler:
                reply = self.handler(request)
            assert reply is not None
            if reply.delay:
                threading.Event().wait(reply.delay)
            self._send(http, reply)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _next(self) -> Reply:
        if self.replies:
            return self.replies.popleft()
        return error(100, "the script has ended", type="ScriptEnded")

    @staticmethod
    def _send(http: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.reset:
            linger = struct.pack("ii", 1, 0)  # closing sends RST
            http.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            http.close_connection = True
            http.connection.close()
            return
        raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        http.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(raw)))
        http.end_headers()
        http.wfile.write(raw[: len(raw) - reply.cut])
        http.wfile.flush()
        if reply.cut:
            http.close_connection = True
            http.connection.shutdown(socket.SHUT_RDWR)

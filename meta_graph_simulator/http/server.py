"""Running the simulator: in the foreground, or in a thread for tests and demos.

``run_simulator(config)`` serves until interrupted. ``SimulatorServer`` is a context manager with
``url`` for clients and ``control`` for faults, clock and statistics.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from meta_graph_simulator.accounts.source import AccountSource
from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.app import RESET_EXTENSION, SimulatorApp, create_app
from meta_graph_simulator.http.control_client import ControlClient

_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048


class ResettableProtocol(HttpToolsProtocol):
    """HTTP/1.1 connection that an application can end by a TCP reset."""

    def on_message_begin(self) -> None:
        """Offer the reset to the application of each request."""
        super().on_message_begin()
        extensions: dict[str, Any] = {RESET_EXTENSION: self.reset}
        self.scope["extensions"] = extensions

    def reset(self) -> None:
        """Send RST: no lingering, what is not sent yet is dropped."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def _uvicorn_config(app: SimulatorApp, config: SimulatorConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=None if config.tls_key is None else str(config.tls_key),
        http=ResettableProtocol,
        ws="none",
        loop="auto",
        lifespan="off",
        access_log=False,
        log_level=config.log_level,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        backlog=_BACKLOG,
    )


def run_simulator(
    config: SimulatorConfig | None = None,
    *,
    sources: Iterable[AccountSource] | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted (SIGINT, SIGTERM).

    Without ``sources`` the accounts that the configuration asks for are built. ``on_start`` is
    called with the base URL as soon as the port is taken.

    Raises OSError: the address cannot be listened on.
    """
    config = config or SimulatorConfig()
    app = create_app(config, sources)
    listener = _listening_socket(config.host, config.port)
    try:
        if on_start is not None:
            on_start(base_url(listener, config))
        uvicorn.Server(_uvicorn_config(app, config)).run(sockets=[listener])
    finally:
        listener.close()


def base_url(listener: socket.socket, config: SimulatorConfig) -> str:
    """URL under which a listening socket is reached."""
    shown = f"[{config.host}]" if ":" in config.host else config.host
    scheme = "http" if config.tls_certificate is None else "https"
    return f"{scheme}://{shown}:{listener.getsockname()[1]}"


class SimulatorServer:
    """A simulator in a thread of this process.

    ::

        with SimulatorServer(SimulatorConfig(accounts=2)) as server:
            session.GRAPH = server.url
            server.control.add_fault("transient", times=3)

    The port is free by default whatever the configuration says; pass ``port`` to choose it.
    """

    def __init__(
        self,
        config: SimulatorConfig | None = None,
        *,
        sources: Iterable[AccountSource] | None = None,
        clock: SimulatedClock | None = None,
        port: int = 0,
    ) -> None:
        self.config = (config or SimulatorConfig()).model_copy(update={"port": port})
        self.clock = clock or SimulatedClock(self.config.start_time, speed=self.config.clock_speed)
        self._app = create_app(self.config, sources, self.clock)
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""
        self.control: ControlClient = ControlClient("")

    def start(self) -> SimulatorServer:
        """Listen and serve; returns when calls are answered.

        Raises OSError: the port is taken.
        """
        self._listener = _listening_socket(self.config.host, self.config.port)
        self.url = base_url(self._listener, self.config)
        self.control = ControlClient(self.url, ca=self.config.tls_certificate)
        self._server = uvicorn.Server(_uvicorn_config(self._app, self.config))
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [self._listener]},
            name="graph-simulator",
            daemon=True,
        )
        self._thread.start()
        self.control.wait_until_up()
        return self

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            self._thread.join(timeout=10)
        if self._listener is not None:
            self._listener.close()
        self.control.close()

    def __enter__(self) -> SimulatorServer:
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"SimulatorServer({self.url or 'stopped'})"

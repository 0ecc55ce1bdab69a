"""Waits that end at once when the work is interrupted, and that hold nobody else up.

An account's pull works at a place of which there are few. Whatever waits for Meta (a limit, a
report, another thread's reads) waits through here, and gives the place back meanwhile when nothing
else of the same pull is at work.
"""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import TypeVar

from urllib3.connection import HTTPConnection

Result = TypeVar("Result")


class Interruption:
    """Ends the waits and calls of a piece of work. Thread-safe."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait(self, seconds: float) -> None:
        """Sleep; raises ``KeyboardInterrupt`` as soon as the work is interrupted."""
        if self._event.wait(seconds):
            raise KeyboardInterrupt

    def interrupt(self) -> None:
        """End every wait now, and every HTTP exchange that is under way in this process."""
        self._event.set()
        abort_connections()


class Place:
    """One pull's right to work, given back while all of the pull's threads wait.

    It is taken already: whoever makes it has acquired one of the ``places``.
    """

    def __init__(self, places: threading.Semaphore, interruption: Interruption) -> None:
        self.interruption = interruption
        self._places = places
        self._is_taken = True
        self._at_work = 0
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Inside, this thread works for the pull; waits for a place where the pull has none."""
        self._begin()
        token = _place.set(self)
        try:
            yield
        finally:
            _place.reset(token)
            self._end()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, this thread does nothing but wait."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        with self._turn:  # those that come while the first waits for the place wait, too
            with self._lock:
                needed = self._at_work == 0 and not self._is_taken
                self._is_taken = False
            if needed:
                while not self._places.acquire(timeout=0.2):
                    self.interruption.wait(0)
            with self._lock:
                self._at_work += 1

    def _end(self) -> None:
        with self._lock:
            self._at_work -= 1
            if self._at_work == 0:
                self._places.release()


_place: ContextVar[Place | None] = ContextVar("place", default=None)


def pause(seconds: float) -> None:
    """Sleep, without a place meanwhile; raises ``KeyboardInterrupt`` when the work is ended."""
    place = _place.get()
    if place is None:
        time.sleep(seconds)
        return
    with place.waiting():
        place.interruption.wait(seconds)


@contextmanager
def waiting_for_threads() -> Iterator[None]:
    """Around a wait for threads of the same pull, whose work it is that counts."""
    place = _place.get()
    if place is None:
        yield
        return
    with place.waiting():
        yield


def carried(work: Callable[[], Result]) -> Callable[[], Result]:
    """The work, to be done in another thread for this one's pull, with its priority."""
    context, place = copy_context(), _place.get()

    def run() -> Result:
        if place is None:
            return work()
        with place.working():
            return work()

    return lambda: context.run(run)


_connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
_connections_lock = threading.Lock()


def remember_connection(connection: HTTPConnection) -> None:
    """Have ``abort_connections`` close it."""
    with _connections_lock:
        _connections.add(connection)


def abort_connections() -> None:
    """Close the sockets of this process's exchanges, so that no thread waits for a response."""
    with _connections_lock:
        connections = list(_connections)
    for connection in connections:
        sock = connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

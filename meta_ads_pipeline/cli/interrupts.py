"""Ctrl-C and SIGTERM end a command within two seconds, wherever it waits.

Dagster, dbt and the libraries below them turn a signal into an exception in the main thread, which
cannot be raised while that thread is in a lock of C, and other threads do not hear of it at all. So
a thread of its own hears of the signal from the interpreter, gives everybody a moment to end
properly, then ends the process. Nothing is lost by that: a sync that was killed is resumed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

INTERRUPTED = "Interrupted. Run the same command to resume."

GRACE_SECONDS = 1.5
"""For what ends by itself: the run is marked, sessions are closed."""


announced = threading.Event()
"""Set when a person has been told already."""


class Interrupt:
    """Whether the process was told to end."""

    def __init__(self) -> None:
        self.received = threading.Event()

    def raise_if_received(self) -> None:
        """Raise ``KeyboardInterrupt`` when a signal came, whatever was made of it meanwhile."""
        if self.received.is_set():
            raise KeyboardInterrupt


@contextmanager
def ended_soon_by_signals(message: str) -> Iterator[Interrupt]:
    """Inside, SIGINT and SIGTERM end the process after a moment's grace; ``message`` is printed.

    Works in the main thread only; elsewhere nothing changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before_term = signal.getsignal(signal.SIGTERM)
    on_interrupt = signal.getsignal(signal.SIGINT)
    # A shell starts what runs in its background with SIGINT ignored; SIGTERM ends that, too.
    signal.signal(
        signal.SIGTERM, on_interrupt if callable(on_interrupt) else signal.default_int_handler
    )

    def watch() -> None:
        while True:
            heard = reader.recv(16)
            if not heard:
                return
            if {signal.SIGINT, signal.SIGTERM}.intersection(heard):
                break
        interrupt.received.set()
        time.sleep(GRACE_SECONDS)
        _end(message)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    try:
        yield interrupt
        interrupt.raise_if_received()
    except Exception:
        _unwatch(writer, before_wakeup, before_term)
        raise
    except BaseException:
        raise  # the watcher goes on: the way out may be long
    else:
        _unwatch(writer, before_wakeup, before_term)


def _unwatch(writer: socket.socket, wakeup: int, term: Any) -> None:
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGTERM, term)
    writer.close()


def end_if_interrupted(code: int) -> None:
    """Where a person was told that the command is over, have it be over, with this exit code.

    The interpreter's own end waits for threads and libraries, and stops the thread that would set
    it a limit.
    """
    if announced.is_set():
        _end("", code)


def _end(message: str, code: int = 1) -> None:
    """End this process and those that it started."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if child.name() != "postgres":  # the embedded server serves others, too
                child.terminate()
    sys.stdout.flush()
    if not announced.is_set():
        os.write(2, f"\n{message}\n".encode())
    os._exit(code)

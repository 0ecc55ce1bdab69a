"""Child processes that end with the command that started them, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
"""Source: Linux's ``prctl(2)``."""


def start_child(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that is terminated when this one is gone, killed included.

    ``options`` are those of ``subprocess.Popen``. Call it in the main thread: Linux watches the
    thread that started the child. Other systems have no such signal; there a killed command leaves
    its children, as before.
    """
    ties = _tied_to(os.getpid()) if sys.platform == "linux" else None
    return subprocess.Popen(command, preexec_fn=ties, **options)  # noqa: PLW1509 - no threads yet


def _tied_to(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None)  # before the fork: loading a library after it may hang

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # gone before the tie was there
            os._exit(1)

    return tie

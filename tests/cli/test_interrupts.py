"""A signal ends a command soon, whatever its threads are waiting in."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import signal, sys, threading, time
from meta_ads_pipeline.cli.interrupts import ended_soon_by_signals

def stuck():
    print("ready", flush=True)
    time.sleep(60)

def swallowed(_number, _frame):
    pass  # as a library may

ignored = sys.argv[1] == "ignored"  # as in the background of a shell
signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
with ended_soon_by_signals("Interrupted."):
    thread = threading.Thread(target=stuck)
    thread.start()
    if sys.argv[1] == "swallowed":
        signal.signal(signal.SIGINT, swallowed)
        signal.signal(signal.SIGTERM, swallowed)
    thread.join()
"""


@pytest.mark.parametrize(
    ("handler", "number"),
    [
        *itertools.product(["python's", "swallowed"], [signal.SIGINT, signal.SIGTERM]),
        ("ignored", signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_process_whose_threads_wait(number: signal.Signals, handler: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, handler],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)  # the thread would take a minute
    assert process.returncode in (1, -signal.SIGINT)
    assert "Interrupted." in errors or "KeyboardInterrupt" in errors


def test_an_interrupted_command_does_not_wait_for_the_interpreters_end() -> None:
    """A library's own way out takes a minute."""
    program = """
import atexit, sys, threading, time
from meta_ads_pipeline import cli
from meta_ads_pipeline.cli import app

def interrupted(*_arguments, **_options):
    raise KeyboardInterrupt

atexit.register(time.sleep, 60)
threading.Thread(target=time.sleep, args=(60,)).start()
app.app = interrupted
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=False
    )
    assert done.returncode == 1
    assert "Interrupted" in done.stderr

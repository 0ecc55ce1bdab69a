"""``meta-ads exec``: the program lives and ends with it."""

import os
import signal
import sys
import threading
import time

import pytest

from meta_ads_pipeline.cli.execute import run_command

ENDS_BY_ITSELF = """
import signal, sys, time, pathlib
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
pathlib.Path(sys.argv[1]).touch()
time.sleep(30)
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE"):
        monkeypatch.setenv(f"META_ADS_DBT_{name}", "1")


def test_who_ends_it_ends_the_program(tmp_path):
    ready, before = tmp_path / "ready", signal.getsignal(signal.SIGTERM)

    def end():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    assert run_command([sys.executable, "-c", ENDS_BY_ITSELF, str(ready)]) == 7
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_program_s_exit_code_is_its_own():
    assert run_command([sys.executable, "-c", "raise SystemExit(3)"]) == 3

"""Children of a command end with it."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

_COMMAND = """
import subprocess, time
from meta_ads_pipeline.cli.children import start_child
child = start_child(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_command_leaves_no_child() -> None:
    command = subprocess.Popen([sys.executable, "-c", _COMMAND], stdout=subprocess.PIPE)
    assert command.stdout is not None
    child = psutil.Process(int(command.stdout.readline()))
    assert child.is_running()
    command.kill()
    command.wait()
    for _ in range(100):
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    child.kill()
    pytest.fail("the child goes on")

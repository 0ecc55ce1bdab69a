"""A simulator in a process of its own: its work is not the client's, and it can be killed."""

from __future__ import annotations

import re
import subprocess
import sys
from types import TracebackType

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.control_client import ControlClient

_STOP_SECONDS = 10


class SimulatorProcess:
    """Context manager like ``SimulatorServer``, but in a process.

    A free port is taken at the first start and kept, so that after ``kill()`` a ``start()`` is
    found under the same URL. What the control endpoint changed is gone then: faults, clock,
    tokens, data changes and report runs live in the process.
    """

    def __init__(self, config: SimulatorConfig | None = None, *, port: int = 0) -> None:
        self.config = (config or SimulatorConfig()).model_copy(update={"port": port})
        self.url = ""
        self.control: ControlClient = ControlClient("")
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while running."""
        return None if self._process is None else self._process.pid

    def start(self) -> SimulatorProcess:
        """Start and wait until calls are answered.

        Raises RuntimeError: the process ended before it listened; its stderr says why.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "meta_graph_simulator", "--config", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the simulator process has no pipes")
        process.stdin.write(self.config.model_dump_json())
        process.stdin.close()
        announced = re.search(r"https?://\S+", process.stdout.readline())
        if announced is None:
            raise RuntimeError(f"the simulator did not start: exit code {process.wait()}")
        self.url = announced.group()
        self.config.port = int(self.url.rpartition(":")[2])
        self.control.close()
        self.control = ControlClient(self.url, ca=self.config.tls_certificate)
        self.control.wait_until_up()
        return self

    def kill(self) -> None:
        """SIGKILL: no answer in flight is finished."""
        self._end(kill=True)

    def stop(self) -> None:
        """End the process."""
        self._end(kill=False)
        self.control.close()

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> SimulatorProcess:
        return self.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

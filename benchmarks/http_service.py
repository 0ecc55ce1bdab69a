"""The HTTP service in a process of its own, over an embedded Postgres that is thrown away."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.ports import free_port
from meta_ads_pipeline.control.api_keys import create_key
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres

_START_SECONDS = 60


@dataclass(frozen=True)
class HttpService:
    """Where it is, a key for everything in the workspace ``default``, its database and process."""

    url: str
    key: str
    database: Database
    process: psutil.Process

    @property
    def headers(self) -> dict[str, str]:
        """What every request sends."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def megabytes(self) -> float:
        """Resident memory of the process."""
        return float(self.process.memory_info().rss) / 2**20


@contextmanager
def http_service(home: Path | None = None) -> Iterator[HttpService]:
    """Start both; requests are not limited."""
    with tempfile.TemporaryDirectory(prefix="bench-serve-", ignore_cleanup_errors=True) as folder:
        home = home or Path(folder) / "home"
        server = EmbeddedPostgres(home)
        database = Database(server.start(), server=server)
        database.migrate()
        key, _ = create_key(database, workspace="default", member="bench", name="x", role="admin")
        port = free_port()
        child = subprocess.Popen(
            [sys.executable, "-m", "meta_ads_pipeline.cli", "serve", "--port", str(port)],
            env={
                **os.environ,
                "META_ADS_HOME": str(home),
                "META_ADS_DATABASE_URL": database.url,
                "META_ADS_REQUESTS_PER_MINUTE": "10000000",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url)
            yield HttpService(url, key, database, psutil.Process(child.pid))
        finally:
            child.terminate()
            child.wait(30)
            database.dispose()
            server.release(0)


def _wait(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"nothing answers at {url}")

"""The whole pipeline between a test's own database and simulator, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_graph_simulator import SimulatorServer
from tests.commands import run_meta_ads


@dataclass
class Pipeline:
    """A database, a simulator, and the command line between them."""

    database: Database
    server: SimulatorServer
    home: Path

    def meta_ads(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command; its environment names the database and the simulator."""
        return run_meta_ads(
            *arguments,
            environment={
                **os.environ,
                "META_ADS_DATABASE_URL": self.database.url,
                "META_ADS_HOME": str(self.home),
                "META_GRAPH_URL": self.server.url,
                "META_ACCESS_TOKEN": "token-of-the-test",
                **environment,
            },
        )

    def sync(self, start: str, end: str, *more: str) -> dict[str, Any]:
        """Sync a window; the command's own report."""
        done = self.meta_ads("sync", "--start", start, "--end", end, "--json", *more)
        assert done.stdout.strip(), done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        report["exit_code"] = done.returncode
        return report

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query."""
        with self.database.connect() as connection:
            return connection.execute(sql.encode(), parameters or None).fetchall()

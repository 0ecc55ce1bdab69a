"""One tick of the sensors that fetch what is missing, and the run they ask for.

``python -m benchmarks.sensor_worker SPEED EPOCH``: the clock of ``backfill_worker``. What the
daemon does every minute, in a process of its own; the run is the whole job, dbt and checks too.
The last line it prints is a JSON object: ``Tick``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property

import dagster as dg

from benchmarks.backfill_worker import FastClock, fast_clients
from benchmarks.simulated_daemon import execute
from meta_ads_pipeline.automation.retries import retry_at
from meta_ads_pipeline.automation.sensors import backfill_gaps, open_slices, retry_failed_slices
from meta_ads_pipeline.cli.runtime import running
from meta_ads_pipeline.control.database import Database, open_database
from meta_ads_pipeline.credentials.clients import ConnectedClients
from meta_ads_pipeline.definitions import build_defs
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import get_settings


@dataclass
class Tick:
    """What came of a tick; ``open_slices`` and the rest are as they are after its run."""

    sensor: str | None = None
    succeeded: bool | None = None
    said: str = ""
    open_slices: int = 0
    refused_slices: int = 0
    due_in_seconds: float | None = None


class FastMeta(MetaAdsResource):
    """The clients, with every wait and every limit on the fast clock."""

    speed: float
    epoch: float

    @cached_property
    def clients(self) -> ConnectedClients:
        """A client for every connection."""
        settings = get_settings()
        database = open_database(settings, migrate=False)
        return fast_clients(settings, database, FastClock(self.speed, self.epoch))


def tick(instance: dg.DagsterInstance, meta: FastMeta) -> Tick:
    """Ask the sensors in turn; run what the first of them asks for."""
    resources = {"database": DatabaseResource(), "meta": meta}
    outcome = Tick()
    for sensor in (retry_failed_slices, backfill_gaps):
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            asked = sensor.evaluate_tick(context)
        outcome.said = asked.skip_message or outcome.said
        for request in asked.run_requests or ():
            job = build_defs(resources).resolve_job_def(request.job_name or "sync")
            result = execute(instance, job, request)
            if result is None:
                outcome.said = f"{sensor.name} asks again for {request.run_key}"
                continue
            outcome.sensor, outcome.succeeded = sensor.name, result.success
            return outcome
    return outcome


def look(database: Database, outcome: Tick) -> None:
    """Add what is left to do."""
    left = open_slices(database)
    due = [at for slice_ in left if (at := retry_at(slice_)) is not None]
    outcome.open_slices = len(left)
    outcome.refused_slices = sum(slice_.error_kind == "auth" for slice_ in left)
    if due:
        outcome.due_in_seconds = max(0.0, (min(due) - datetime.now(UTC)).total_seconds())


def main(arguments: list[str]) -> int:
    """Do it once."""
    meta = FastMeta(speed=float(arguments[0]), epoch=float(arguments[1]))
    with running(may_simulate=True) as runtime, dg.DagsterInstance.get() as instance:
        outcome = tick(instance, meta)
        look(runtime.database, outcome)
    print(f"\n{json.dumps(asdict(outcome))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

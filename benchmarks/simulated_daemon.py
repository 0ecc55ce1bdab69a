"""What Dagster's daemon does, at instants that the caller chooses, in the caller's process.

Schedules and sensors decide by their own code, with their cursors; what they ask for is run whole,
dbt and checks too, one run after the other. As the daemon does, what was asked for before is not
started again, and of the ticks that an outage missed the last few are evaluated.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from benchmarks.simulated_time import (
    go_to,
    real_time_again,
    simulate_dagster,
    simulate_database,
    simulate_time,
    simulated_now,
)
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.server import SimulatorServer

CAUGHT_UP = 5
"""Missed ticks of a schedule that Dagster evaluates, the latest ones."""


def execute(
    instance: dg.DagsterInstance, job: dg.JobDefinition, request: dg.RunRequest
) -> dg.ExecuteInProcessResult | None:
    """The run that was asked for; None where it was asked for before."""
    key = {RUN_KEY_TAG: request.run_key or ""}
    if request.run_key and instance.get_runs_count(dg.RunsFilter(tags=key)):
        return None
    return job.execute_in_process(
        instance=instance,
        tags={**request.tags, **key},
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether Ctrl-C ended the run: Dagster makes a failed step of it."""
    errors = [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
    return any("Interrupted" in str(error and error.cls_name) for error in errors)


def _why(result: dg.ExecuteInProcessResult) -> str:
    from meta_ads_pipeline.automation.sensors import cause_of

    failed = [event for event in result.all_events if event.is_step_failure]
    return "; ".join(f"{event.step_key}: {cause_of(event)}"[:1000] for event in failed)


@dataclass
class SimulatedDaemon:
    """``log`` takes what runs print; ``failed`` are the runs that failed, in words."""

    instance: dg.DagsterInstance
    database: Database
    simulator: SimulatorServer
    log: Path
    runs: int = 0
    failed: list[str] = field(default_factory=list)
    cursors: dict[str, str | None] = field(default_factory=dict)
    asked_at: dict[str, datetime] = field(default_factory=dict)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """The code location, loaded once as a code server does."""
        from meta_ads_pipeline.definitions import build_defs

        return build_defs({"meta": self.meta()})

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        """Its schedules and sensors."""
        return self.definitions.get_repository_def()

    def go_to(self, instant: datetime) -> None:
        """Jump to an instant (aware), or stay where time is ahead of it already."""
        if instant > simulated_now():
            go_to(instant, self.database, self.simulator.control)

    @cached_property
    def lasting(self) -> dict[str, Any]:
        """What ticks may share: opened once."""
        from meta_ads_pipeline.resources import DatabaseResource
        from meta_ads_pipeline.transform.dbt_cli import dbt_cli
        from meta_ads_pipeline.transform.project import dbt_project

        return {"database": DatabaseResource(), "dbt": dbt_cli(dbt_project())}

    def resources(self) -> dict[str, Any]:
        """What a tick is given; clients of its own, with the tokens of the moment."""
        return {**self.lasting, "meta": self.meta()}

    def meta(self) -> dg.ConfigurableResource[Any]:
        """Clients that wait in simulated time: whoever sleeps is at once where it wanted to be."""
        from benchmarks.backfill_worker import fast_clients
        from meta_ads_pipeline.control.database import open_database
        from meta_ads_pipeline.credentials.clients import ConnectedClients
        from meta_ads_pipeline.resources import MetaAdsResource
        from meta_ads_pipeline.settings import get_settings

        daemon = self

        class SimulatedMeta(MetaAdsResource):
            @cached_property
            def clients(self) -> ConnectedClients:
                settings = get_settings()
                return fast_clients(settings, open_database(settings, migrate=False), daemon)

        return SimulatedMeta()

    def now(self) -> float:
        """Unix seconds, simulated."""
        return simulated_now().timestamp()

    def sleep(self, seconds: float) -> None:
        """Go to when the wait is over."""
        if seconds > 1:
            self.go_to(simulated_now() + timedelta(seconds=seconds))
        else:
            time.sleep(max(0.0, seconds))

    def tick(self, name: str, at: datetime | None = None) -> int:
        """A tick of a schedule, due ``at`` (aware; None: now); how many runs it asked for."""
        schedule = self.repository.get_schedule_def(name)
        simulate_time()
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=at or simulated_now(),
            resources=self.resources(),
        ) as context:
            asked = schedule.evaluate_tick(context)
        return self.run(asked.run_requests, str(schedule.job_name))

    def sense(self, name: str) -> int:
        """A tick of a sensor; how many runs it asked for."""
        sensor = self.repository.get_sensor_def(name)
        simulate_time()
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            resources=self.resources(),
        ) as context:
            asked = sensor.evaluate_tick(context)
        self.cursors[name] = asked.cursor
        return self.run(asked.run_requests, sensor.targets[0].job_name if sensor.targets else "")

    def run(self, requests: Sequence[dg.RunRequest] | None, job_name: str) -> int:
        """What was asked for, one after the other; how many were started."""
        started = 0
        for request in requests or ():
            job = self.definitions.resolve_job_def(request.job_name or job_name)
            simulate_time()
            with self.log.open("a") as log, redirect_stdout(log):
                result = execute(self.instance, job, request)
            if result is None:
                continue
            started += 1
            if not result.success:
                if _was_interrupted(result):
                    raise KeyboardInterrupt
                self.failed.append(f"{job.name} {dict(request.tags)}: {_why(result)}")
        self.runs += started
        return started

    def catch_up(self) -> None:
        """All that is due by now: schedules by their cron lines, sensors by their intervals."""
        from dagster._utils.schedules import cron_string_iterator

        now = simulated_now()
        for schedule in self.repository.schedule_defs:
            since = self.asked_at.setdefault(schedule.name, now - timedelta(minutes=1))
            ticks = cron_string_iterator(since.timestamp() + 1, str(schedule.cron_schedule), "UTC")
            due = list(itertools.takewhile(lambda tick: tick <= now, ticks))
            for tick in due[-CAUGHT_UP:]:
                self.tick(schedule.name, tick.astimezone(UTC))
            self.asked_at[schedule.name] = now
        for sensor in self.repository.sensor_defs:
            if isinstance(sensor, dg.RunStatusSensorDefinition):
                continue
            interval = timedelta(seconds=sensor.minimum_interval_seconds or 30)
            if now - self.asked_at.get(sensor.name, now - interval) >= interval:
                self.asked_at[sensor.name] = now
                self.sense(sensor.name)


@contextmanager
def simulated_daemon(
    home: Path, simulator: SimulatorServer, first: date, start: datetime, **settings: str
) -> Iterator[SimulatedDaemon]:
    """A new deployment under ``home`` that reads the simulator, at ``start`` (aware).

    Its history begins with ``first``; ``settings`` are further environment variables.
    """
    # They stay until the process ends: what has read them keeps them.
    os.environ |= {
        "META_ADS_HOME": str(home),
        "META_ADS_DATABASE_URL": "",
        "META_GRAPH_URL": simulator.url,
        "META_ACCESS_TOKEN": DEFAULT_TOKEN,
        "META_ADS_HISTORY_START": first.isoformat(),
        **settings,
    }
    from meta_ads_pipeline.cli.runtime import running

    server = EmbeddedPostgres(home)
    simulate_database(server.start())
    simulate_dagster()
    try:
        with running() as runtime, dg.DagsterInstance.get() as instance:
            go_to(start, runtime.database, simulator.control)
            yield SimulatedDaemon(instance, runtime.database, simulator, home / "sync.log")
            real_time_again(runtime.database)
    finally:
        server.release()

"""Which process executes a run: said in a tag of the run, and by a lock while it lives.

``automation.abandoned_runs`` reads both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from meta_ads_pipeline.control import run_locks
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.process_identity import this_process
from meta_ads_pipeline.run_tags import (
    COMMAND_TAG,
    LANE_TAG,
    MAX_RETRIES_TAG,
    MAX_RUNTIME_TAG,
    WORKER_TAG,
)


def worker_tag(run_id: str) -> dict[str, str]:
    """The tag that says that this process executes the run."""
    # A retry copies the tags of the run before it: the id tells whose worker is meant.
    return {WORKER_TAG: f"{run_id} {this_process().as_text()}"}


def run_tags_of_a_command(run_id: str) -> dict[str, str]:
    """The tags of a run that a command executes in its own process.

    It lasts as long as its process, and whoever gave the command repeats it: not Dagster.
    """
    return {
        **worker_tag(run_id),
        COMMAND_TAG: "sync",
        LANE_TAG: "other",
        MAX_RUNTIME_TAG: "0",
        MAX_RETRIES_TAG: "0",
    }


@contextmanager
def claimed(database: Database, instance: dg.DagsterInstance | None, run_id: str) -> Iterator[None]:
    """Have the run known as this process's while the block lasts."""
    if instance is not None and instance.has_run(run_id):
        instance.add_run_tags(run_id, worker_tag(run_id))
    with run_locks.hold(database, run_id):
        yield

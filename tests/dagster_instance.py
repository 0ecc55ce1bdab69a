"""Dagster instances that persist: on SQLite in a folder, and on Postgres as the project's is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from meta_ads_pipeline.control.dagster_storage import PipelineStorage
from meta_ads_pipeline.control.database import Database, export_environment
from tests.conftest import SHARED_FOLDER, once


@contextmanager
def persistent_instance(overrides: Mapping[str, Any] | None = None) -> Iterator[dg.DagsterInstance]:
    """A copy of an empty one, whose tables take half a second; ``overrides`` as in dagster.yaml."""
    empty = SHARED_FOLDER / "dagster"
    with once("empty_instance") as first:
        if first:
            shutil.rmtree(empty, ignore_errors=True)  # of a process that failed
            empty.mkdir()
            with dg.instance_for_test(temp_dir=str(empty)):
                pass
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shutil.copytree(empty, folder, dirs_exist_ok=True)
        with dg.instance_for_test(overrides, temp_dir=folder) as instance:
            yield instance


@contextmanager
def postgres_instance(database: Database, folder: Path) -> Iterator[dg.DagsterInstance]:
    """An empty instance whose records are in the database; its tables take seconds."""
    storage = {"module": PipelineStorage.__module__, "class": PipelineStorage.__name__}
    with database.connect() as connection:
        connection.execute("create schema dagster")
    before = dict(os.environ)
    export_environment(database)
    try:
        with dg.instance_for_test({"storage": {"custom": storage}}, temp_dir=str(folder)) as made:
            yield made
    finally:
        os.environ.clear()
        os.environ.update(before)

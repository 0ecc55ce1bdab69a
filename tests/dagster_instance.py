"""A Dagster instance that persists: a copy of an empty one, whose tables take half a second."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from tests.conftest import SHARED_FOLDER, once


@contextmanager
def persistent_instance(overrides: Mapping[str, Any] | None = None) -> Iterator[dg.DagsterInstance]:
    """An empty instance in a folder of its own; ``overrides`` as in dagster.yaml."""
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

"""Commands that start at the same moment, as the containers of one deployment do."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from meta_ads_pipeline.cli.runtime import _create_dagster_schema, _dagster_home

AT_ONCE = 4


def together(action):
    """Run ``action`` in threads that wait for each other first; raises what one of them raised."""
    barrier = threading.Barrier(AT_ONCE)

    def wait_and_act(_):
        barrier.wait()
        action()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(wait_and_act, range(AT_ONCE)))


def test_dagster_s_schema_is_made_once(database):
    for _ in range(20):  # one in four fails without a lock
        with database.connect() as connection:
            connection.execute("drop schema if exists dagster cascade")
        together(lambda: _create_dagster_schema(database))


@pytest.mark.parametrize("before", [None, "elsewhere.yaml"])
def test_dagster_s_home_is_made_once(tmp_path, monkeypatch, before):
    if before is not None:  # of a checkout that was moved
        (tmp_path / "dagster").mkdir()
        (tmp_path / "dagster" / "dagster.yaml").symlink_to(before)
    link_to = Path.symlink_to

    def linked_a_moment_later(path, target):
        time.sleep(0.05)
        link_to(path, target)

    monkeypatch.setattr(Path, "symlink_to", linked_a_moment_later)
    together(lambda: _dagster_home(SimpleNamespace(home=tmp_path)))
    (only,) = (tmp_path / "dagster").iterdir()
    assert only.name == "dagster.yaml"
    assert "concurrency:" in only.read_text()

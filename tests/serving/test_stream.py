"""The stream: events as they are committed, in order, of the own workspace, and none missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving.conftest import running_service
from tests.serving.small_marts import DEFAULT, OTHER


class Watcher:
    """Workspaces' streams, and events to write."""

    def __init__(self, database: Any, url: str, keys: dict[str, str]) -> None:
        self.database, self.url, self.keys = database, url, keys
        self._open: list[requests.Response] = []

    def watch(self, of: str = "default", after: int | None = None) -> Iterator[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.keys[of]}"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        answer = requests.get(
            f"{self.url}/workspaces/{of}/stream", headers=headers, stream=True, timeout=20
        )
        self._open.append(answer)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines).startswith(b"retry:")  # it is subscribed from here on
        return self._events(lines)

    def leave(self) -> None:
        """The service stops when nobody watches any more."""
        for answer in self._open:
            answer.close()

    @staticmethod
    def _events(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        event: dict[str, Any] = {}
        for line in lines:
            name, _, value = line.decode().partition(": ")
            if name in ("id", "event", "data"):
                event[name] = json.loads(value) if name == "data" else value
            elif not line and event:
                yield event
                event = {}

    def write(self, connection: Connection, workspace: str, number: int) -> None:
        connection.execute(
            "insert into control.stream_events (workspace_id, kind, data)"
            " values (%s, 'sync', jsonb_build_object('n', %s::integer))",
            [workspace, number],
        )


@pytest.fixture(scope="module")
def watcher(postgres_url: str, template_database: str) -> Iterator[Watcher]:
    with copy_of_template(postgres_url, template_database) as database:
        with database.connect() as connection:
            connection.execute(
                "insert into control.workspaces (workspace_id, name) values (%s, 'other')", [OTHER]
            )
            connection.execute(
                "insert into control.ad_accounts (account_id, workspace_id, timezone, currency)"
                " values ('1', %s, 'UTC', 'EUR')",
                [DEFAULT],
            )
        keys = {
            name: api_keys.create_key(database, workspace=name, member="x", name="x")[0]
            for name in ("default", "other")
        }
        with running_service(Settings(), database) as service:
            watcher = Watcher(database, service.url, keys)
            yield watcher
            watcher.leave()


def numbers(events: Iterator[dict[str, Any]], count: int) -> list[int]:
    return [next(events)["data"]["n"] for _ in range(count)]


def test_events_come_as_they_are_committed_and_only_to_their_workspace(watcher: Watcher) -> None:
    own, foreign = watcher.watch(), watcher.watch("other")
    with watcher.database.connect() as late, watcher.database.connect() as early:
        watcher.write(late, DEFAULT, 1)  # first written, last committed
        watcher.write(early, DEFAULT, 2)
        watcher.write(early, OTHER, 3)
        early.commit()
        first = next(own)
        assert (first["event"], first["data"]) == ("sync", {"n": 2})
        late.commit()
    second = next(own)
    assert second["data"] == {"n": 1}
    assert int(second["id"]) > int(first["id"])
    assert numbers(foreign, 1) == [3]
    assert numbers(watcher.watch(after=int(first["id"])), 1) == [1]


def test_of_too_much_that_was_missed_the_newest_is_sent(watcher: Watcher) -> None:
    with watcher.database.connect() as connection:
        connection.execute(
            "insert into control.stream_events (workspace_id, kind, data)"
            " select %s, 'sync', jsonb_build_object('n', n) from generate_series(1, 1005) as n",
            [DEFAULT],
        )
    assert numbers(watcher.watch(after=0), 1000) == list(range(6, 1006))


def test_what_was_missed_comes_first_and_once(watcher: Watcher) -> None:
    with watcher.database.connect() as connection:
        row = connection.execute(
            "select coalesce(max(event_id), 0) as last from control.stream_events"
        ).fetchone()
        for number in (10, 11):
            watcher.write(connection, DEFAULT, number)
    events = watcher.watch(after=row["last"])
    with watcher.database.connect() as connection:
        watcher.write(connection, DEFAULT, 12)
    assert numbers(events, 3) == [10, 11, 12]


def test_the_connection_is_made_again_when_the_server_ends_it(watcher: Watcher) -> None:
    events = watcher.watch()
    with watcher.database.connect() as connection:
        ended = connection.execute(
            "select count(pg_terminate_backend(pid)) as n from pg_stat_activity"
            " where application_name = 'meta-ads stream' and datname = current_database()"
        ).fetchone()
        assert ended["n"] == 1
        watcher.write(connection, DEFAULT, 20)
    assert numbers(events, 1) == [20]


def test_slices_that_land_are_one_event_of_their_account(watcher: Watcher) -> None:
    events = watcher.watch()
    with watcher.database.connect() as connection:
        connection.execute(
            "insert into control.slice_loads (account_id, partition_date, asset, run_id,"
            " rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,"
            " rows_dead_lettered, pulled_at)"
            " select '1', d, 'insights_daily', 'r', 5, 2, 1, 0, 0, 0,"
            " now() from unnest(array['2026-11-10'::date, '2026-11-11']) as d"
        )
    data = next(events)["data"]
    assert (data["run_id"], data["slices"], data["rows_changed"]) == ("r", 2, 6)
    assert (data["start"], data["end"]) == ("2026-11-10", "2026-11-11")

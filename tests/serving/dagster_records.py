"""Dagster's records as far as the service reads them, and a webserver that queues runs in them."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from meta_ads_pipeline.control.database import Database

_TABLES = """
create schema if not exists dagster;
create table dagster.runs (
    id bigint generated always as identity, run_id text unique, pipeline_name text, status text,
    create_timestamp timestamp default (now() at time zone 'UTC'), start_time float, end_time float
);
create table dagster.run_tags (run_id text, key text, value text);
create table dagster.event_logs (
    id bigint generated always as identity, run_id text, dagster_event_type text, step_key text
);
"""


def make_tables(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(_TABLES.encode())


def add_run(
    database: Database, run_id: str, *, job: str = "sync", status: str = "STARTED", **tags: str
) -> str:
    """A run with tags, of which ``accounts`` and ``workspace`` are the pipeline's own."""
    names = {"accounts": "meta_ads/accounts", "workspace": "meta_ads/workspace"}
    with database.connect() as connection:
        connection.execute(
            "insert into dagster.runs (run_id, pipeline_name, status) values (%s, %s, %s)",
            [run_id, job, status],
        )
        connection.cursor().executemany(
            "insert into dagster.run_tags values (%s, %s, %s)",
            [(run_id, names.get(key, key), value) for key, value in tags.items()],
        )
    return run_id


def range_of(start: date, end: date) -> dict[str, str]:
    prefix = "dagster/asset_partition_range_"
    return {f"{prefix}start": str(start), f"{prefix}end": str(end)}


@contextmanager
def webserver(database: Database) -> Iterator[str]:
    """Answers the mutations of the service as Dagster does; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            variables = asked["variables"]
            data = self._launch(variables) if "params" in variables else self._cancel(variables)
            body = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _launch(self, variables: dict[str, Any]) -> dict[str, Any]:
            params = variables["params"]
            tags = {each["key"]: each["value"] for each in params["executionMetadata"]["tags"]}
            run_id = str(uuid.uuid4())
            add_run(database, run_id, job=params["selector"]["jobName"], status="QUEUED", **tags)
            return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run_id}}}

        def _cancel(self, variables: dict[str, Any]) -> dict[str, Any]:
            with database.connect() as connection:
                connection.execute(
                    "update dagster.runs set status = 'CANCELED' where run_id = %s",
                    [variables["id"]],
                )
            return {
                "terminateRun": {"__typename": "TerminateRunSuccess", "run": {"status": "CANCELED"}}
            }

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()

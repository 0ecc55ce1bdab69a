"""After faulty runs, nothing that was written anywhere opens anything: a search of all of it."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import PROJECT_ROOT
from meta_graph_simulator import SimulatorConfig, SimulatorServer
from meta_graph_simulator.config import TokenSpec
from tests.commands import run_meta_ads

pytestmark = pytest.mark.slow

APP_ID = "4242424242"
APP_SECRET = "5ecre7-that-nobody-may-see-0123456789"
# Not of the shape that real tokens have: whoever lets it out cannot rely on its looks.
TOKEN = "tokenThatNobodyMaySee.0123456789"
PROOF = hmac.new(APP_SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
NEXT_LINK = re.compile(
    rb"https?(://|%3A%2F%2F)[^\s\"'<>]{1,600}(after|access_token|appsecret_proof)(=|%3D)"
)
LAST = datetime.now(UTC).date() - timedelta(days=35)
FIRST = LAST - timedelta(days=1)
WINDOW = ("--start", FIRST.isoformat(), "--end", LAST.isoformat())


@dataclass
class Writings:
    """Everything that was written: place -> bytes."""

    places: dict[str, bytes] = field(default_factory=dict)

    def add_output(self, name: str, text: str) -> None:
        self.places[f"output of {name}"] = text.encode()

    def add_files(self, *roots: Path) -> None:
        for root in roots:
            for path in root.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    self.places[f"file {path.relative_to(root.parent)}"] = path.read_bytes()

    def add_database(self, database: Database) -> None:
        """Every column of every table of every schema of ours, as text; blobs unpacked."""
        with database.connect() as connection:
            columns = connection.execute(
                "select table_schema, table_name, column_name, data_type"
                " from information_schema.columns join information_schema.tables"
                "   using (table_schema, table_name)"
                " where table_schema not in ('pg_catalog', 'information_schema')"
                "   and table_type = 'BASE TABLE'"
            ).fetchall()
            for column in columns:
                name = ".".join(
                    column[part] for part in ("table_schema", "table_name", "column_name")
                )
                is_blob = column["data_type"] == "bytea"
                query = sql.SQL("select distinct {}{} as value from {}").format(
                    sql.Identifier(column["column_name"]),
                    sql.SQL("" if is_blob else "::text"),
                    sql.Identifier(column["table_schema"], column["table_name"]),
                )
                values = [row["value"] for row in connection.execute(query) if row["value"]]
                self.places[name] = b"\n".join(
                    _unpacked(bytes(value)) if is_blob else value.encode() for value in values
                )

    def having(self, needle: str | re.Pattern[bytes]) -> list[str]:
        if isinstance(needle, str):
            return [place for place, text in self.places.items() if needle.encode() in text]
        return [place for place, text in self.places.items() if needle.search(text)]


def _unpacked(blob: bytes) -> bytes:
    try:
        return blob + b"\n" + zlib.decompress(blob)
    except zlib.error:
        return blob


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    config = SimulatorConfig(
        accounts=2,
        ads=4,
        app_id=APP_ID,
        app_secret=APP_SECRET,
        require_proof=True,
        tokens=(TokenSpec(token=TOKEN),),
        any_token=False,
        max_limit=40,  # many pages: many paging.next links
        job_seconds=0.1,
    )
    with SimulatorServer(config) as server:
        yield server


def test_nothing_that_is_written_during_faulty_runs_opens_anything(
    built_database: Database, server: SimulatorServer, home: Path
) -> None:
    written = Writings()
    key = Fernet.generate_key().decode()

    def meta_ads(*arguments: str, stdin: str = "") -> int:
        done = run_meta_ads(
            "--verbose",
            *arguments,
            environment={
                **{k: v for k, v in os.environ.items() if not k.startswith("META_")},
                "META_ADS_DATABASE_URL": built_database.url,
                "META_ADS_HOME": str(home),
                "META_GRAPH_URL": server.url,
                "META_APP_ID": APP_ID,
                "META_APP_SECRET": APP_SECRET,
                "META_ADS_ENCRYPTION_KEYS": key,
            },
            stdin=stdin,
        )
        name = f"{len(written.places)} {' '.join(arguments)}"
        written.add_output(name, done.stdout + done.stderr)
        return done.returncode

    control = server.control
    accounts = [str(a["id"]).removeprefix("act_") for a in control.state()["accounts"]]
    assert meta_ads("connect", "--all", stdin=TOKEN) == 0, written.places

    # 1. Failures of every kind, texts that quote secrets, rows that cannot be used.
    ad_id = control.truth(accounts[0], LAST, LAST, by_ad=True)[0]["ad_id"]
    control.adjust(accounts[0], ad_id, LAST, {"impressions": -(10**7)}, hour=9)
    link = f"{server.url}/v26.0/act_1/insights?access_token={TOKEN}&appsecret_proof={PROOF}&after=x"
    quoting = f"broke at {link} with token {TOKEN} and proof {PROOF}"
    control.add_fault("transient", probability=0.1, code=2)
    control.add_fault("reset", probability=0.05, fraction=0.5)
    control.add_fault("html", probability=0.05, http_status=502)
    control.add_fault("truncate", probability=0.05, fraction=0.6)
    control.add_fault(
        "error", match={"account": accounts[1], "edge": "insights"}, code=100, message=quoting
    )
    assert meta_ads("sync", *WINDOW, "--json") == 1
    # 2. The token dies, and the error quotes it.
    control.clear_faults()
    control.add_fault("error", code=190, subcode=463, message=f"Error validating {quoting}")
    assert meta_ads("sync", *WINDOW) == 1
    meta_ads("doctor", "--json")
    meta_ads("connections", "validate")
    # 3. It is repaired.
    control.clear_faults()
    meta_ads("sync", *WINDOW)
    for command in (("status",), ("dead-letters", "list"), ("connections", "list")):
        assert meta_ads(*command) == 0
        assert meta_ads(*command, "--json") == 0

    written.add_database(built_database)
    roots = [home, PROJECT_ROOT / "dbt_project" / "logs", PROJECT_ROOT / "dbt_project" / "target"]
    written.add_files(*(root for root in roots if root.is_dir()))

    # The search finds what there is to find: in outputs, files, and each layer's tables.
    found = written.having(accounts[1])
    for where in ("output of", "control.slices", "raw.ad_accounts", "marts.", "dagster.event_logs"):
        assert any(place.startswith(where) for place in found), (where, found)
    assert written.having("negative") or written.having("0 or more"), "a bad row was met"
    assert any(place.startswith("file ") for place in written.places)
    assert any("[redacted]" in text.decode(errors="replace") for text in written.places.values())

    for what, secret in (("token", TOKEN), ("proof", PROOF), ("app secret", APP_SECRET)):
        assert written.having(secret) == [], (what, written.having(secret))
    assert written.having(NEXT_LINK) == [], "a link with its parameters"

"""`meta-ads doctor`: every line is right, says what to do, and shows no secret."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url

from meta_ads_pipeline.cli.doctor_findings import Finding, Outcome, guarded
from meta_ads_pipeline.cli.doctor_meta import examine_accounts, examine_host, examine_version
from meta_ads_pipeline.cli.doctor_platform import (
    examine_database,
    examine_dbt,
    examine_disk,
    examine_partitions,
)
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.checks import Inspection
from meta_ads_pipeline.credentials.connections import TokenFacts
from meta_ads_pipeline.credentials.status import ACTIVE
from meta_ads_pipeline.meta_api.errors import error_from_envelope
from meta_ads_pipeline.meta_api.paging import Listing
from meta_ads_pipeline.meta_api.versions import API_VERSIONS
from meta_ads_pipeline.settings import Settings
from tests.cli.conftest import MetaAds
from tests.meta_app import APP_ID, DAY, PERSON, SYSTEM, MetaApp, stored


@pytest.fixture
def without_dbt(monkeypatch: pytest.MonkeyPatch) -> None:
    """dbt takes seconds to start; it has a test of its own."""
    monkeypatch.setattr("meta_ads_pipeline.cli.doctor.examine_dbt", lambda _database: [])


def report(meta_ads: MetaAds) -> tuple[int, dict[str, dict[str, Any]]]:
    code, said = meta_ads("doctor", "--json")
    document = json.loads(said)
    checks = {each["check"]: each for each in document["checks"]}
    for each in document["checks"]:
        assert bool(each["what_to_do"]) == (each["outcome"] != "pass"), each
    worst = {"pass", "warn", "fail"} & {each["outcome"] for each in document["checks"]}
    assert (code == 1) == ("fail" in worst)
    return code, checks


@pytest.mark.slow
def test_all_is_well(meta: MetaApp, meta_ads: MetaAds, database: Database) -> None:
    stored(database, meta.settings(), meta.token(SYSTEM))
    code, checks = report(meta_ads)
    assert code == 0, checks
    outcomes = {name: each["outcome"] for name, each in checks.items()}
    assert outcomes == {
        "settings": "pass",
        "database": "pass",
        "migrations": "pass",
        "encryption keys": "pass",
        "api version": "pass",
        "graph api": "pass",
        "clock": "pass",
        "app credentials": "pass",
        "default/main token": "pass",
        "default/main scopes": "pass",
        "default/main expiry": "pass",
        "default/main data access": "pass",
        "default/main accounts": "pass",
        "default/main rate limit": "pass",
        "webhooks": "pass",
        "dagster storage": "warn",
        "dbt project": "pass",
        "dbt connection": "pass",
        "disk": outcomes["disk"],
    }
    assert "standard_access" in checks["default/main rate limit"]["message"]
    assert checks["default/main expiry"]["message"] == "never"
    assert "3 of 3" in checks["default/main accounts"]["message"]


@pytest.mark.usefixtures("without_dbt")
def test_the_printed_report(meta: MetaApp, meta_ads: MetaAds, database: Database) -> None:
    now = datetime.now(UTC)
    token = meta.token(type="USER", data_access_expires_at=now + 3 * DAY, expires_at=now + 50 * DAY)
    stored(database, meta.settings(), token)
    code, said = meta_ads("doctor")
    assert code == 0, said
    lines = [line for line in said.splitlines() if "default/main data access" in line]
    assert lines
    assert lines[0].startswith("warn")
    assert "-> Renewing does not prolong it" in said


@pytest.mark.usefixtures("without_dbt")
def test_without_credentials_the_simulator_is_named(meta_ads: MetaAds) -> None:
    for name in ("META_GRAPH_URL", "META_APP_ID", "META_APP_SECRET"):
        os.environ.pop(name)
    code, checks = report(meta_ads)
    assert code == 0, checks
    assert checks["credentials"]["outcome"] == "pass"
    assert "simulator" in checks["credentials"]["message"]


@pytest.mark.usefixtures("without_dbt")
@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"revoked_subcode": 460}, "password was changed"),
        ({"expires_at": 1_700_000_000}, "expired"),
    ],
)
def test_a_dead_token_fails_with_its_reason(
    meta: MetaApp, meta_ads: MetaAds, members: dict[str, Any], says: str
) -> None:
    meta.token(**members)
    os.environ["META_ACCESS_TOKEN"] = PERSON
    code, checks = report(meta_ads)
    assert code == 1
    found = checks["default/environment token"]
    assert (found["outcome"], says in found["message"]) == ("fail", True), found
    assert "META_ACCESS_TOKEN" in found["what_to_do"]


@pytest.mark.usefixtures("without_dbt")
def test_wrong_app_secret_blames_the_app_not_the_token(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    stored(database, meta.settings(), meta.token())
    os.environ["META_APP_SECRET"] = "f" * 32
    code, checks = report(meta_ads)
    assert code == 1
    assert checks["app credentials"]["outcome"] == "fail"
    assert "default/main token" not in checks


@pytest.mark.usefixtures("without_dbt")
def test_a_development_tier_and_used_up_limits_warn(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    stored(database, meta.settings(), meta.token())
    meta.control.set_throttle(tier="development_access")
    try:
        _, checks = report(meta_ads)
        assert checks["default/main rate limit"]["outcome"] == "warn"
        assert "development_access" in checks["default/main rate limit"]["message"]
        meta.control.add_fault(
            "rate_limit", match={"edge": "account"}, code=17, subcode=2446079, seconds=600
        )
        _, checks = report(meta_ads)
        assert "reached" in checks["default/main rate limit"]["message"]
    finally:
        meta.control.set_throttle(tier="standard_access")


@pytest.mark.usefixtures("without_dbt")
def test_a_lost_key_fails(meta: MetaApp, meta_ads: MetaAds, database: Database) -> None:
    stored(database, meta.settings(), meta.token())
    os.environ["META_ADS_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    code, checks = report(meta_ads)
    assert code == 1
    assert checks["encryption keys"]["outcome"] == "fail"
    assert checks["default/main token"]["outcome"] == "fail"


@pytest.mark.usefixtures("without_dbt")
def test_an_unreachable_database_hides_nothing_else(meta: MetaApp, meta_ads: MetaAds) -> None:
    meta.token(SYSTEM)
    os.environ["META_ADS_DATABASE_URL"] = "postgresql://u:hidden-password@127.0.0.1:9/x"
    os.environ["META_ACCESS_TOKEN"] = SYSTEM
    code, checks = report(meta_ads)
    assert code == 1
    assert checks["database"]["outcome"] == "fail"
    assert "hidden-password" not in json.dumps(checks)
    assert checks["META_ACCESS_TOKEN token"]["outcome"] == "pass"
    assert checks["META_ACCESS_TOKEN accounts"]["outcome"] == "pass"


@pytest.mark.usefixtures("without_dbt")
def test_an_unreachable_host_fails(meta_ads: MetaAds) -> None:
    os.environ["META_GRAPH_URL"] = "http://127.0.0.1:9"
    code, checks = report(meta_ads)
    assert code == 1
    assert "refused" in checks["graph api"]["message"]
    assert checks["credentials"]["outcome"] == "fail"


def outcomes(findings: Any) -> list[tuple[str, Outcome]]:
    return [(each.check, each.outcome) for each in findings]


def test_versions_by_date() -> None:
    def outcome(name: str, today: date) -> Outcome:
        (finding,) = examine_version(Settings(META_API_VERSION=name), today)
        return finding.outcome

    today = date(2026, 11, 20)
    assert outcome("v26.0", today) is Outcome.PASS
    assert outcome("v25.0", today) is Outcome.WARN, "its year ends in February"
    assert outcome("v24.0", today) is Outcome.FAIL
    assert outcome("v9.0", today) is Outcome.FAIL
    assert outcome("v27.0", today) is Outcome.WARN
    assert outcome("v26.0", date(2027, 6, 1)) is Outcome.WARN
    ends = [version.ends for version in API_VERSIONS]
    assert ends == sorted(ends)


class _WrongClock(BaseHTTPRequestHandler):
    behind: ClassVar[timedelta] = timedelta()

    def do_GET(self) -> None:
        self.send_response(400)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((datetime.now(UTC) - self.behind).timestamp())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("behind", "outcome"),
    [(0, Outcome.PASS), (120, Outcome.WARN), (-120, Outcome.WARN), (3600, Outcome.FAIL)],
)
def test_clock_skew(behind: int, outcome: Outcome) -> None:
    _WrongClock.behind = timedelta(seconds=behind)
    server = HTTPServer(("127.0.0.1", 0), _WrongClock)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        found = list(examine_host(Settings(META_GRAPH_URL=url)))
    finally:
        server.shutdown()
        server.server_close()
    assert outcomes(found) == [("graph api", Outcome.PASS), ("clock", outcome)]


def test_accounts_that_are_not_active_or_not_read() -> None:
    documents = [
        {"account_id": "1", "name": "One", "account_status": 1},
        {"account_id": "2", "name": "Two", "account_status": 3},
    ]
    found = Inspection(ACTIVE, TokenFacts(app_id=APP_ID), Listing(documents))
    findings = list(examine_accounts("x", found, ["1", "2", "3"]))
    assert [f.outcome for f in findings] == [Outcome.WARN, Outcome.FAIL, Outcome.PASS]
    assert "payment" in findings[0].message
    assert "act_3" in findings[1].message
    assert "1 of 3" in findings[2].message
    assert [f.outcome for f in examine_accounts("x", Inspection(ACTIVE, TokenFacts()), [])] == [
        Outcome.FAIL
    ]


@pytest.mark.parametrize("ids", [["1"], []])
def test_a_list_that_meta_left_before_its_end_is_a_warning(ids: list[str]) -> None:
    refused = error_from_envelope({"message": "no more"}, http_status=500, what="GET me/adaccounts")
    accounts = Listing([{"account_id": each} for each in ids], ended_early=refused)
    found = Inspection(ACTIVE, TokenFacts(), accounts)
    warning, *others = examine_accounts("x", found, [])
    assert warning.outcome is Outcome.WARN
    assert "no more" in warning.message
    assert [each.outcome for each in others] == [Outcome.PASS] * len(ids)


@pytest.mark.usefixtures("without_dbt")
def test_what_a_business_or_a_kind_of_token_does_not_allow(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    stored(database, meta.settings(), meta.token(SYSTEM))
    demanding = meta.account_ids[0]
    two_factor = {"code": 415, "subcode": 1404120, "message": "Unbekannter Fehler"}
    meta.control.add_fault("account_refused", account=demanding, **two_factor)
    code, checks = report(meta_ads)
    assert code == 1
    line = checks[f"default/main act_{demanding}"]
    assert line["outcome"] == "fail"
    assert "two-factor" in line["message"]
    assert "business.facebook.com" in line["what_to_do"]
    assert checks["default/main rate limit"]["outcome"] == "pass", "of the other accounts"
    meta.control.add_fault("page_token")
    code, checks = report(meta_ads)
    line = checks["default/main token"]
    assert (code, line["outcome"]) == (1, "fail")
    assert "a Page's token" in line["message"]
    assert "meta-ads connect" in line["what_to_do"]


def test_migrations_behind_and_ahead(empty_database: Database, database: Database) -> None:
    settings = Settings(META_ADS_DATABASE_URL=empty_database.url)
    _, current, findings = examine_database(settings)
    assert not current
    assert outcomes(findings) == [("database", Outcome.PASS), ("migrations", Outcome.WARN)]
    with database.connect() as connection:
        connection.execute("update control.schema_version set version_num = '9999'")
    _, current, findings = examine_database(Settings(META_ADS_DATABASE_URL=database.url))
    assert not current
    assert outcomes(findings)[-1] == ("migrations", Outcome.FAIL)


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_a_dbt_that_cannot_connect_fails(database: Database) -> None:
    gone = make_url(database.url).set(database="gone").render_as_string(hide_password=False)
    wrong = Database(gone)
    found = {each.check: each for each in examine_dbt(wrong)}
    assert found["dbt project"].outcome is Outcome.PASS
    assert found["dbt connection"].outcome is Outcome.FAIL
    assert "does not exist" in found["dbt connection"].message


def test_partitions_that_begin_before_any_account(database: Database) -> None:
    settings = Settings(META_ADS_HISTORY_START="2024-01-01")
    insert = (
        "insert into raw.ad_accounts (account_id, currency, timezone, document, document_hash,"
        " first_seen_at, changed_at, pulled_at)"
        " values (%s, 'EUR', 'UTC', jsonb_build_object('created_time', %s::text), '', now(), now(),"
        " now())"
    )
    found = []
    for account_id, created in (
        ("1", "2025-04-02T09:00:00+0200"),
        ("2", "2023-04-02T09:00:00+0200"),
        ("3", "some day"),
    ):
        with database.connect() as connection:
            connection.execute(insert, [account_id, created])
        found.append([each.outcome for each in examine_partitions(settings, database)])
    assert found == [[Outcome.WARN], [Outcome.PASS], []]


def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(META_ADS_HOME=tmp_path / "not" / "there")
    for free, outcome in ((50e9, Outcome.PASS), (3e9, Outcome.WARN), (5e8, Outcome.FAIL)):
        usage = type("Usage", (), {"free": free})
        monkeypatch.setattr("shutil.disk_usage", lambda _path, usage=usage: usage)
        assert [f.outcome for f in examine_disk(settings)] == [outcome]


def test_a_check_that_breaks_down_is_a_finding_without_secrets() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError(f"GET /x?access_token={PERSON}")

    (finding,) = guarded("this", broken)
    assert finding.outcome is Outcome.FAIL
    assert "RuntimeError" in finding.message
    assert PERSON not in finding.message

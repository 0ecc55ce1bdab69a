"""`meta-ads connect` and `connections` as a person uses them, against a simulated Meta."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from meta_ads_pipeline.control.accounts import active_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.connections import list_connections
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import error_from_envelope
from meta_ads_pipeline.meta_api.paging import Listing
from meta_ads_pipeline.settings import Settings
from tests.cli.conftest import MetaAds
from tests.meta_app import (
    DAY,
    PERSON,
    SYSTEM,
    MetaApp,
    token_in_use,
)


def settings_now() -> Settings:
    return Settings()


def test_a_token_on_standard_input(meta: MetaApp, meta_ads: MetaAds, database: Database) -> None:
    meta.token(SYSTEM)
    code, said = meta_ads("connect", "--all", stdin=f"{SYSTEM}\n")
    assert code == 0, said
    assert "connected default/main" in said
    (connection,) = list_connections(database)
    assert token_in_use(database, settings_now(), connection) == SYSTEM
    assert connection.reads_all_accounts
    assert [a.account_id for a in active_accounts(database)] == meta.account_ids


def test_a_short_lived_token_is_exchanged(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    now = datetime.now(UTC)
    meta.token(type="USER", issued_at=now, expires_at=now + timedelta(hours=1))
    code, said = meta_ads("connect", "--all", "--json", stdin=PERSON)
    assert code == 0, said
    assert "exchanged for a long-lived token" in json.loads(said)["notes"]
    (connection,) = list_connections(database)
    assert connection.facts.expires_at is not None
    assert connection.facts.expires_at > now + 59 * DAY
    assert token_in_use(database, settings_now(), connection) != PERSON


def test_a_short_lived_token_is_kept_when_asked(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    now = datetime.now(UTC)
    meta.token(type="USER", issued_at=now, expires_at=now + timedelta(hours=1))
    assert meta_ads("connect", "--all", "--no-exchange", stdin=PERSON)[0] == 0
    (connection,) = list_connections(database)
    assert token_in_use(database, settings_now(), connection) == PERSON


def test_accounts_are_chosen_by_option(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    meta.token()
    first, second, third = meta.account_ids
    code, said = meta_ads(
        *("connect", "--account", f"act_{third}", "--account", first),
        *("--workspace", "agency", "--name", "client", "--json"),
        stdin=PERSON,
    )
    assert code == 0, said
    document = json.loads(said)
    assert document["connection"] == "agency/client"
    assert sorted(document["accounts"]) == sorted([first, third])
    assert document["not_synced"] == [second]
    assert [a.account_id for a in active_accounts(database)] == [first, third]


@pytest.fixture
def incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta gives the first page of the accounts, and no other."""
    whole = MetaAdsClient.get_accounts
    refused = error_from_envelope({"message": "no more"}, http_status=500, what="GET me/adaccounts")
    monkeypatch.setattr(
        MetaAdsClient,
        "get_accounts",
        lambda client: Listing(whole(client)[:1], ended_early=refused),
    )


@pytest.mark.usefixtures("incomplete")
def test_an_account_that_no_list_shows_is_connected_by_its_name(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    meta.token()
    third = meta.account_ids[2]
    code, said = meta_ads("connect", "--account", third, stdin=PERSON)
    assert code == 0, said
    assert [a.account_id for a in active_accounts(database)] == [third]
    code, said = meta_ads("connect", "--account", "999", "--name", "other", stdin=PERSON)
    assert (code, "999" in said) == (1, True), said


@pytest.mark.usefixtures("incomplete")
def test_a_list_that_meta_left_before_its_end_is_told(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    meta.token()
    code, said = meta_ads("connect", "--all", stdin=PERSON)
    assert (code, "to its end" in said, "no more" in said) == (0, True, True), said
    assert [a.account_id for a in active_accounts(database)] == meta.account_ids[:1]


def test_connecting_with_one_account_switches_no_other_off(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    meta.token()
    first, second, _ = meta.account_ids
    assert meta_ads("connect", "--all", stdin=PERSON)[0] == 0
    code, said = meta_ads("connect", "--account", first, stdin=PERSON)
    assert code == 0, said
    assert [a.account_id for a in active_accounts(database)] == meta.account_ids
    assert "still synced with this connection" in said
    assert f"{second} (" in said
    assert "meta-ads accounts stop" in said


def test_removing_says_how_many_accounts_stop(meta: MetaApp, meta_ads: MetaAds) -> None:
    meta.token()
    assert meta_ads("connect", "--all", stdin=PERSON)[0] == 0
    code, said = meta_ads("connections", "remove", "main", "--yes")
    assert code == 0
    assert "3 ad accounts are no longer synced" in said
    assert "meta-ads accounts purge" in said


@pytest.mark.parametrize(
    ("answer", "chosen"), [("all", (0, 1, 2)), ("1, 3", (0, 2)), ("act_{1}", (1,))]
)
def test_accounts_are_chosen_by_a_person(
    meta: MetaApp,
    meta_ads: MetaAds,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    chosen: tuple[int, ...],
) -> None:
    meta.token()
    listed = [a["account_id"] for a in _documents(meta)]
    answers = iter([PERSON, answer.replace("{1}", listed[1])])
    hidden: list[bool] = []

    def prompt(_text: str, *, hide_input: bool = False, **_: Any) -> str:
        hidden.append(hide_input)
        return next(answers)

    monkeypatch.setattr("typer.prompt", prompt)
    code, said = meta_ads("connect", tty=True)
    assert code == 0, said
    assert hidden == [True, False], "the token is not shown, the choice is"
    assert {a.account_id for a in active_accounts(database)} == {listed[i] for i in chosen}


def _documents(meta: MetaApp) -> list[dict[str, Any]]:
    from meta_ads_pipeline.credentials.checks import inspect
    from tests.meta_app import SecretStr

    return inspect(meta.settings(), SecretStr(PERSON), datetime.now(UTC)).accounts


@pytest.mark.parametrize(
    ("members", "arguments", "says"),
    [
        ({"revoked_subcode": 460}, ["--all"], "password was changed"),
        ({"expires_at": 1_700_000_000}, ["--all"], "expired"),
        ({"scopes": ["business_management"]}, ["--all"], "ads_read"),
        ({"accounts": []}, ["--all"], "assign ad accounts"),
        ({}, ["--account", "999"], "999"),
        ({}, [], "--all"),
    ],
)
def test_what_cannot_be_connected_is_told_and_nothing_is_stored(
    meta: MetaApp,
    meta_ads: MetaAds,
    database: Database,
    members: dict[str, Any],
    arguments: list[str],
    says: str,
) -> None:
    meta.token(**members)
    code, said = meta_ads("connect", *arguments, stdin=PERSON)
    assert (code, says in said) == (1, True), said
    assert list_connections(database) == []
    assert active_accounts(database) == []


@pytest.mark.parametrize(
    "arguments", [[PERSON], ["--token", PERSON], [f"--token={PERSON}"], ["--all", PERSON]]
)
def test_a_token_as_an_argument_is_refused_and_not_repeated(
    meta_ads: MetaAds, arguments: list[str]
) -> None:
    code, said = meta_ads("connect", *arguments)
    assert code == 2
    assert "PersonToken".lower() not in said.lower()


@pytest.mark.parametrize(
    "arguments", [["--account", "x"], ["--all", "--account", "1"], ["--name", "a/b"]]
)
def test_bad_usage(meta_ads: MetaAds, arguments: list[str]) -> None:
    assert meta_ads("connect", *arguments)[0] == 2


def test_the_environments_token_is_stored_when_nothing_else_is_given(
    meta: MetaApp, meta_ads: MetaAds, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta.token(SYSTEM)
    monkeypatch.setenv("META_ACCESS_TOKEN", SYSTEM)
    assert meta_ads("connect", "--all")[0] == 0
    stored = [c for c in list_connections(database) if c.has_stored_token]
    assert [c.label for c in stored] == ["default/main"]
    monkeypatch.delenv("META_ACCESS_TOKEN")
    code, said = meta_ads("connect", "--all")
    assert (code, "META_ACCESS_TOKEN" in said) == (1, True)


def test_connections_are_listed_validated_renewed_and_removed(
    meta: MetaApp, meta_ads: MetaAds, database: Database
) -> None:
    now = datetime.now(UTC)
    assert "no connection yet" in meta_ads("connections", "list")[1]
    meta.token(type="USER", user_id="1", issued_at=now - DAY, expires_at=now + 40 * DAY)
    meta.token(SYSTEM, user_id="2")
    assert meta_ads("connect", "--account", meta.account_ids[0], stdin=PERSON)[0] == 0
    assert (
        meta_ads("connect", "--account", meta.account_ids[1], "--name", "two", stdin=SYSTEM)[0] == 0
    )
    listed = json.loads(meta_ads("connections", "list", "--json")[1])
    assert [(c["connection"], c["accounts"]) for c in listed] == [
        ("default/main", [meta.account_ids[0]]),
        ("default/two", [meta.account_ids[1]]),
    ]
    assert "default/two" in meta_ads("connections", "list")[1]

    assert meta_ads("connections", "refresh", "main")[0] == 0
    (main, _) = list_connections(database)
    assert main.facts.expires_at is not None
    assert main.facts.expires_at > now + 59 * DAY
    assert meta_ads("connections", "validate")[0] == 0
    meta.control.revoke_token(SYSTEM, subcode=458)
    code, said = meta_ads("connections", "validate")
    assert (code, "removed the app" in said) == (1, True), said
    code, said = meta_ads("connections", "refresh", "two", "--json")
    assert (code, json.loads(said)[0]["outcome"]) == (1, "not_possible")

    assert meta_ads("connections", "remove", "nobody")[0] == 1
    code, said = meta_ads("connections", "remove", "two", "--yes")
    assert code == 0, said
    assert [c.name for c in list_connections(database)] == ["main"]


def test_rotating_keys(meta: MetaApp, meta_ads: MetaAds, database: Database) -> None:
    meta.token(SYSTEM)
    assert meta_ads("connect", "--all", stdin=SYSTEM)[0] == 0
    new = Fernet.generate_key().decode()
    os.environ["META_ADS_ENCRYPTION_KEYS"] = new
    code, said = meta_ads("connections", "rotate-keys")
    assert (code, "META_ADS_ENCRYPTION_KEYS" in said) == (1, True), said
    os.environ["META_ADS_ENCRYPTION_KEYS"] = f"{new},{meta.key}"
    code, said = meta_ads("connections", "rotate-keys")
    assert (code, "may now be taken out" in said) == (0, True), said
    os.environ["META_ADS_ENCRYPTION_KEYS"] = new
    assert meta_ads("connections", "validate")[0] == 0


def test_in_a_process_of_its_own(
    meta: MetaApp, environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    """From the shell: the token is in no argument, no output, and no file that is left behind."""
    meta.token(SYSTEM)
    done = subprocess.run(
        [sys.executable, "-m", "meta_ads_pipeline.cli", "-v", "connect", "--all"],
        input=SYSTEM,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SYSTEM not in done.stdout + done.stderr
    assert len(list_connections(database)) == 1
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert SYSTEM.encode() not in path.read_bytes()

"""`meta-ads accounts`, and what `status` makes of accounts that cannot be read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, tzinfo

import pytest

from meta_ads_pipeline.cli.options import Range
from meta_ads_pipeline.cli.runtime import _refuse_to_simulate
from meta_ads_pipeline.control.account_states import mark_unreadable
from meta_ads_pipeline.control.accounts import Account, active_accounts, save_accounts
from meta_ads_pipeline.control.alerts import Alert, Severity, open_alert
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.checks import validate_connection
from meta_ads_pipeline.credentials.connections import MissingCredentialsError
from meta_ads_pipeline.settings import Settings
from tests.cli.conftest import MetaAds
from tests.meta_app import PERSON, MetaApp, stored

NAMES = {"1": "One [draft]", "2": "Two [/bold] :smile:", "3": "Three"}


def land(database: Database, ids: dict[str, str]) -> None:
    """Accounts with a failed and a done slice each."""
    with database.connect() as connection:
        save_accounts(connection, [Account(key, "UTC", "EUR", name) for key, name in ids.items()])
        for account_id in ids:
            for number, status in enumerate(("done", "failed")):
                connection.execute(
                    "insert into control.slices (account_id, asset, partition_date, status,"
                    " error_kind, error_message, next_attempt_at)"
                    " values (%s, 'insights_daily', %s, %s, %s, %s, now())",
                    [
                        account_id,
                        date(2026, 11, 20 + number),
                        status,
                        "auth" if status == "failed" else None,
                        f"act_{account_id} refused" if status == "failed" else None,
                    ],
                )


def test_names_with_brackets_are_printed_as_they_are(meta_ads: MetaAds, database: Database) -> None:
    land(database, NAMES)
    for command in (("accounts", "list"), ("status",)):
        code, said = meta_ads(*command)
        assert code == 0, said
    code, said = meta_ads("accounts", "list")
    for name in NAMES.values():
        assert name in said
    code, said = meta_ads("query", "select '[red]x[/] [/nothing]' as \"[a]\"")
    assert code == 0
    assert "[red]x[/] [/nothing]" in said
    assert "[a]" in said
    code, said = meta_ads("query", "select '[/x]'::int")
    assert code == 1
    assert "[/x]" in said


def test_accounts_are_stopped_and_started(meta_ads: MetaAds, database: Database) -> None:
    land(database, NAMES)
    assert meta_ads("accounts", "stop", "act_2")[0] == 0
    assert [a.account_id for a in active_accounts(database)] == ["1", "3"]
    code, said = meta_ads("accounts", "stop", "2")
    assert (code, "act_2: stopped already" in said) == (0, True)
    states = {
        a["account_id"]: a["state"] for a in json.loads(meta_ads("accounts", "list", "--json")[1])
    }
    assert states == {"1": "active", "2": "stopped", "3": "active"}
    assert meta_ads("accounts", "start", "2")[0] == 0
    assert len(active_accounts(database)) == 3
    code, said = meta_ads("accounts", "stop", "77")
    assert (code, "77" in said) == (1, True)
    assert meta_ads("accounts", "stop", "two")[0] == 2


def test_a_purge_deletes_what_is_kept_of_an_account_and_nothing_else(
    meta_ads: MetaAds, database: Database
) -> None:
    land(database, NAMES)
    count = "select count(*) as n from control.slices where account_id = %s"
    code, said = meta_ads("accounts", "purge", "2", stdin="n\n")
    assert code == 1, said
    code, said = meta_ads("accounts", "purge", "act_2", "--yes")
    assert code == 0, said
    assert "control.slices: 2 rows deleted" in said
    with database.connect() as connection:
        assert connection.execute(count, ["2"]).fetchone() == {"n": 0}
        assert connection.execute(count, ["1"]).fetchone() == {"n": 2}
    (purged,) = [
        a for a in json.loads(meta_ads("accounts", "list", "--json")[1]) if a["account_id"] == "2"
    ]
    assert (purged["state"], purged["name"]) == ("stopped", None)


def test_an_expired_token_of_twenty_accounts_is_one_cause_with_its_action_first(
    meta_ads: MetaAds, database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    connection = stored(database, settings, meta.token())
    ids = {str(100 + number): f"Account {number}" for number in range(20)}
    land(database, ids)
    with database.connect() as session:
        session.execute("delete from control.ad_accounts where account_id <> all(%s)", [list(ids)])
        session.execute(
            "update control.ad_accounts set connection_id = %s", [connection.connection_id]
        )
    for account_id in ids:
        open_alert(
            database,
            Alert("slices_failing", f"act_{account_id}", Severity.WARNING, "failing", "wait"),
        )
    meta.control.revoke_token(PERSON, subcode=463)
    validate_connection(database, settings, connection, datetime.now(UTC))

    code, said = meta_ads("status")
    assert code == 1
    lines = said.splitlines()
    assert lines[0] == "Needs a person: 1"
    assert "-> Give a new token: `meta-ads connect --workspace default --name main`" in lines[1]
    assert "expired" in lines[2]
    assert "20 ad accounts, 20 slices" in lines[2]
    assert len(lines) < 40, said
    code, said = meta_ads("status", "--json")
    (cause,) = json.loads(said)["needs_a_person"]
    assert len(cause["account_ids"]) == 20


def test_an_account_that_cannot_be_read_needs_a_person_until_it_is_stopped(
    meta_ads: MetaAds, database: Database
) -> None:
    land(database, NAMES)
    mark_unreadable(database, "3", "the token may not read this (200)", datetime.now(UTC))
    code, said = meta_ads("status")
    assert code == 1
    assert "`meta-ads accounts stop 3`" in said.splitlines()[1]
    assert meta_ads("accounts", "stop", "3")[0] == 0
    assert meta_ads("status")[0] == 0


def test_calls_that_wait_for_the_own_cap_say_why_and_until_when(
    meta_ads: MetaAds, database: Database, environment: dict[str, str], monkeypatch
) -> None:
    monkeypatch.setenv("META_ADS_CALLS_PER_HOUR", "60")
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=20)
    with database.connect() as connection:
        connection.execute(
            "insert into control.call_counts (connection, minute, use_case, calls, wasted)"
            " values ('somebody', %s, 'insights', 60, 0)",
            [first],
        )
    code, said = meta_ads("status")
    assert code == 0
    until = first + timedelta(minutes=61)
    assert "60 of 60 calls an hour are used (META_ADS_CALLS_PER_HOUR)" in said
    assert f"next call at {until:%Y-%m-%d %H:%M} UTC" in said


def test_a_gap_sync_did_not_begin_in_1970(meta_ads: MetaAds, database: Database) -> None:
    from meta_ads_pipeline.control.syncs import open_gap_sync

    open_gap_sync(database, date(2026, 11, 1), date(2026, 11, 2), ["1"])
    code, said = meta_ads("status")
    assert code == 0, said
    assert "gaps" in said
    assert "1970" not in said


def test_two_columns_of_one_name_are_both_shown(meta_ads: MetaAds) -> None:
    sql = "select 1 as x, 2 as x, 3 as x_2, 4 as x"
    code, said = meta_ads("query", "--json", sql)
    assert code == 0
    assert list(json.loads(said)[0].values()) == [1, 2, 3, 4]
    code, said = meta_ads("query", sql)
    assert code == 0
    assert said.split("x_2")[0].strip().endswith("x") or "1" in said


def test_keys_are_made_and_one_key_is_not_rotated(
    meta_ads: MetaAds, environment: dict[str, str]
) -> None:
    code, said = meta_ads("connections", "make-key")
    assert code == 0
    assert len(said.strip()) == 44
    code, said = meta_ads("connections", "rotate-keys")
    assert code == 1
    assert "nothing was rotated" in said
    assert "make-key" in said


def test_without_a_token_a_sync_says_what_to_do(
    meta_ads: MetaAds, environment: dict[str, str], monkeypatch
) -> None:
    monkeypatch.delenv("META_GRAPH_URL")
    for arguments, says in (
        ((), "--simulator"),
        (("--simulator",), "META_ADS_DATABASE_URL is set"),
    ):
        code, said = meta_ads("sync", "--start", "2026-11-20", "--end", "2026-11-20", *arguments)
        assert code == 1
        assert says in said


def test_generated_accounts_never_come_among_real_ones(database: Database) -> None:
    """The embedded database, where only the rows tell: an account read with another token."""
    embedded = Settings(META_ADS_DATABASE_URL=None)
    _refuse_to_simulate(embedded, database, may_simulate=True)
    land(database, {"1": "A client's"})
    with pytest.raises(MissingCredentialsError, match="holds real ad accounts"):
        _refuse_to_simulate(embedded, database, may_simulate=True)


@pytest.mark.parametrize(
    ("now", "timezones", "expected"),
    [
        # 23:00 in New York on the 20th, 13:00 in Tokyo on the 21st.
        (
            "2026-11-21T04:00+00:00",
            ["America/New_York", "Asia/Tokyo"],
            ("2026-11-20", "2026-11-21"),
        ),
        ("2026-11-21T04:00+00:00", ["America/New_York"], ("2026-11-20", "2026-11-20")),
        ("2026-11-21T04:00+00:00", [], ("2026-11-21", "2026-11-21")),
    ],
)
def test_a_preset_is_the_accounts_own_dates(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    now: str,
    timezones: list[str],
    expected: tuple[str, str],
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromisoformat(now).astimezone(tz)

    monkeypatch.setattr("meta_ads_pipeline.cli.options.datetime", Clock)
    accounts = [Account(str(at), zone, "EUR") for at, zone in enumerate(timezones, 1)]
    with database.connect() as connection:
        save_accounts(connection, accounts)
    window = Range(None, None, "today").window(database)
    assert (window.start.isoformat(), window.end.isoformat()) == expected


def test_a_date_before_the_history_is_wrong_use(meta_ads: MetaAds) -> None:
    code, said = meta_ads("sync", "--start", "2001-01-01", "--end", "2026-11-20")
    assert code == 2
    assert "META_ADS_HISTORY_START" in said

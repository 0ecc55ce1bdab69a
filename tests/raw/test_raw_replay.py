"""Replaying dead letters: what a fix makes usable lands, beside rows that nobody touches."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, time, timedelta

import pytest

from meta_ads_pipeline.control import dead_letters
from meta_ads_pipeline.control.accounts import save_accounts
from meta_ads_pipeline.control.dead_letters import (
    DeadLetterNotFoundError,
    DeadLetterStatus,
    StoredDeadLetter,
)
from meta_ads_pipeline.control.slices import Attempt
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.paging import LeftOut
from meta_ads_pipeline.raw import normalize
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.raw.replay import replay
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import DAY, ad_row, hour_row, hour_rows

HOURLY, DAILY = INSIGHTS_TABLES["insights_hourly"], INSIGHTS_TABLES["insights_daily"]
PULLED_AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
NEW_LABEL = "07h00 - 07h59"


@pytest.fixture
def load(database, account):
    with database.connect() as connection:
        save_accounts(connection, [account])

    def load(rows, table=HOURLY, minutes=0, dates=(DAY,)):
        pulled_at = PULLED_AT + timedelta(minutes=minutes)
        pulled = PulledRows(rows, list(dates), "v25.0", pulled_at)
        return load_insights(database, account, table, pulled, Attempt("sync-1", "run-1"))

    return load


@pytest.fixture
def letters(database):
    def letters() -> list[StoredDeadLetter]:
        with database.connect() as connection:
            return sorted(dead_letters.find(connection), key=lambda each: each.dead_letter_id)

    return letters


@pytest.fixture
def replay_all(database, letters):
    return lambda: replay(
        database, [each.dead_letter_id for each in letters()], api_version="v26.0"
    )


@pytest.fixture
def fix(monkeypatch):
    """The rule that made the row bad is mended: the new hour label is known now."""

    def fix():
        known = {**normalize.HOUR_OF_LABEL, NEW_LABEL: 7}
        monkeypatch.setattr(normalize, "HOUR_OF_LABEL", known)

    return fix


def with_new_label(ad=1, **changes):
    row = hour_row(ad, hour=7, **{"spend": "7.70", "impressions": "77", **changes})
    return {**row, normalize.HOURLY_BREAKDOWN: NEW_LABEL}


def snapshot(query):
    return query("select *, xmin::text, ctid::text from raw.insights_hourly order by ad_id, ctid")


def test_a_row_lands_once_its_rule_is_fixed_and_the_others_are_not_touched(
    load, fix, query, letters, replay_all
):
    good = [row for row in hour_rows(2, [DAY]) if row[normalize.HOURLY_BREAKDOWN] != "nothing"]
    load([*good[:7], *good[8:], with_new_label()])
    before = snapshot(query)
    fix()
    (result,) = replay_all()
    assert (result.landed, result.partition_date) == (True, DAY)
    after = snapshot(query)
    assert [row for row in after if row in before] == before
    (row,) = [row for row in after if row not in before]
    assert (row["ad_id"], row["event_hour"], str(row["spend"])) == ("1201", 7, "7.70")
    assert (row["pulled_at"], row["api_version"]) == (PULLED_AT, "v25.0"), "as if good at once"
    (letter,) = letters()
    assert (letter.status, letter.attempts) == (DeadLetterStatus.REPLAYED, 1)
    assert letter.resolution == "landed in raw.insights_hourly on 2026-11-10"
    assert letter.resolved_at is not None


def test_the_audit_and_the_ledger_tell_of_it(load, fix, query, replay_all):
    load([hour_row(1), with_new_label()])
    counted = "select rows_fetched, rows_inserted, rows_dead_lettered from control.slices"
    assert [tuple(row.values()) for row in query(counted)] == [(2, 1, 1)]
    fix()
    replay_all()
    assert [tuple(row.values()) for row in query(counted)] == [(2, 2, 0)]
    loads = query("select run_id, rows_fetched, rows_inserted from control.slice_loads order by 1")
    assert [tuple(row.values()) for row in loads] == [("replay", 0, 1), ("run-1", 2, 1)]
    (change,) = query("select * from raw.insights_changes where measure = 'spend'")
    assert (change["old_value"], change["new_value"], change["event_hour"]) == (None, "7.70", 7)


def test_replaying_twice_does_nothing_more(load, fix, query, replay_all):
    load([hour_row(1), with_new_label()])
    fix()
    assert len(replay_all()) == 1
    before = snapshot(query)
    assert replay_all() == []
    assert snapshot(query) == before


def test_the_next_pull_finds_nothing_to_change(load, fix, replay_all):
    rows = [hour_row(1), with_new_label()]
    load(rows)
    fix()
    replay_all()
    loaded = load(rows, minutes=5)
    assert loaded.counts[DAY].changed == 0
    assert loaded.counts[DAY].unchanged == 2


def test_what_is_still_bad_stays_open_with_todays_reason(load, query, letters, replay_all, fix):
    load([hour_row(1), with_new_label(spend="many")])
    (before,) = letters()
    assert "hourly_stats" in before.reason
    fix()
    (result,) = replay_all()
    assert not result.landed
    (after,) = letters()
    assert (after.status, after.attempts) == (DeadLetterStatus.OPEN, 2)
    assert after.reason == "spend: expected an exact decimal number, got 'many'"
    assert query("select count(*) from raw.insights_hourly") == [{"count": 1}]


def test_one_bad_letter_does_not_hold_up_the_others(load, fix, replay_all, query):
    load([with_new_label(1), with_new_label(2, spend="many"), with_new_label(3)])
    fix()
    assert [result.landed for result in replay_all()] == [True, False, True]
    assert query("select count(*) from raw.insights_hourly") == [{"count": 2}]


def test_a_letter_does_not_bring_back_what_a_later_pull_no_longer_has(
    load, fix, replay_all, query, letters
):
    load([hour_row(1), with_new_label()])
    load([hour_row(1)], minutes=5)
    fix()
    assert replay_all() == []
    assert letters()[0].status is DeadLetterStatus.RESOLVED
    assert query("select count(*) from raw.insights_hourly") == [{"count": 1}]


def test_a_letter_seen_again_by_the_later_pull_is_up_to_date(load, fix, replay_all, letters):
    load([hour_row(1), with_new_label()])
    load([hour_row(1), with_new_label()], minutes=5)
    (letter,) = letters()
    assert letter.attempts == 2
    fix()
    assert [result.landed for result in replay_all()] == [True]


def test_a_row_does_not_displace_another_of_the_same_key(load, fix, replay_all, query):
    load([hour_row(1, hour=7, spend="1.00"), with_new_label()])
    before = snapshot(query)
    fix()
    (result,) = replay_all()
    assert not result.landed
    assert "same key" in result.outcome
    assert snapshot(query) == before


def test_letters_of_several_days_land_each_in_its_own(load, fix, replay_all, query):
    other = DAY + timedelta(days=1)
    load([with_new_label(), with_new_label(day=other)], dates=(DAY, other))
    fix()
    assert {result.partition_date for result in replay_all()} == {DAY, other}
    rows = query("select event_date from raw.insights_hourly order by 1")
    assert [row["event_date"] for row in rows] == [DAY, other]


def test_numbers_keep_their_digits_on_the_way(load, monkeypatch, query, replay_all):
    refuse = normalize.parse_decimal

    def no_exponents(value):
        if str(value).endswith("10"):
            raise ValueError("no")
        return refuse(value)

    monkeypatch.setattr(normalize, "parse_decimal", no_exponents)
    load([ad_row(spend="12345678901234567.10")], DAILY)
    monkeypatch.undo()
    assert [result.landed for result in replay_all()] == [True]
    assert [str(row["spend"]) for row in query("select spend from raw.insights_daily")] == [
        "12345678901234567.10"
    ]


def test_a_slice_that_was_never_loaded_is_not_begun_by_a_letter(load, fix, replay_all, database):
    load([with_new_label()])
    with database.connect() as connection:
        connection.execute("truncate control.slices, control.slice_loads")
    fix()
    (result,) = replay_all()
    assert not result.landed
    assert "meta-ads sync --start 2026-11-10" in result.outcome


def test_an_unknown_letter_is_named(database):
    with pytest.raises(DeadLetterNotFoundError, match="dead letter 7"):
        replay(database, [7], api_version="v26.0")


def test_a_discarded_letter_stays_so_when_it_is_met_again(load, database, letters, replay_all, fix):
    load([with_new_label()])
    (letter,) = letters()
    assert dead_letters.discard(database, [letter.dead_letter_id], "a test ad") == [
        letter.dead_letter_id
    ]
    assert dead_letters.discard(database, [letter.dead_letter_id], "again") == []
    load([with_new_label()], minutes=5)
    (after,) = letters()
    assert (after.status, after.resolution, after.attempts) == ("discarded", "a test ad", 2)
    fix()
    assert replay_all() == []


def test_an_entity_lands_and_nobody_else_goes_missing(
    database, account, query, letters, monkeypatch, replay_all, load
):
    reader = FakeReader()
    good = {"id": "9", "account_id": "1", "campaign_id": "7", "adset_id": "8", "name": "Good"}
    bad = {**good, "id": "10", "adset_id": "set-8", "name": "Odd id"}
    reader.lists["ad"] = [good, bad]
    pull_entities(database, reader, account, "ad", [DAY], PullContext("s", "r"))
    assert [letter.object_id for letter in letters()] == ["10"]
    assert [result.landed for result in replay_all()] == [False]
    monkeypatch.setattr(
        "meta_ads_pipeline.raw.entities._are_digits",
        lambda series: series.map(lambda value: isinstance(value, str)).astype(bool),
    )
    assert [result.landed for result in replay_all()] == [True]
    rows = query("select id, missing_since, is_deleted from raw.ads order by id")
    assert [tuple(row.values()) for row in rows] == [("10", None, False), ("9", None, False)]
    assert query("select count(*) from raw.entity_versions where entity_id = '10'") == [
        {"count": 1}
    ]
    assert query("select rows_inserted, rows_dead_lettered from control.slices") == [
        {"rows_inserted": 2, "rows_dead_lettered": 0}
    ]


def test_an_object_that_could_not_be_read_needs_another_read(database, account, letters, load):
    with database.connect() as connection:
        dead_letters.record(
            connection,
            [dead_letters.DeadLetter("1", "ads", "no access.", '{"id": "5"}', object_id="5")],
        )
    (result,) = replay(database, [letters()[0].dead_letter_id], api_version="v26.0")
    assert not result.landed
    assert "sync" in result.outcome


def test_an_ad_account_lands_once_its_timezone_is_known(database, query, replay_all, monkeypatch):
    reader = FakeReader()
    document = {"account_id": "5", "id": "act_5", "currency": "EUR", "timezone_name": "Mars/Base"}
    monkeypatch.setattr(reader, "get_accounts", lambda: [document], raising=False)
    assert pull_ad_accounts(database, reader, ctx=PullContext("s", "r")) == []
    assert [result.landed for result in replay_all()] == [False]
    monkeypatch.setattr("meta_ads_pipeline.raw.pull_accounts.ZoneInfo", lambda name: name)
    assert [result.landed for result in replay_all()] == [True]
    assert query("select account_id, timezone from control.ad_accounts") == [
        {"account_id": "5", "timezone": "Mars/Base"}
    ]


def test_a_letter_is_found_by_account_asset_and_status(load, letters, database):
    load([with_new_label(), with_new_label(2)])
    first, second = letters()
    dead_letters.discard(database, [first.dead_letter_id], "no")

    def found(**conditions):
        with database.connect() as connection:
            return [each.dead_letter_id for each in dead_letters.find(connection, **conditions)]

    assert found(status=DeadLetterStatus.OPEN) == [second.dead_letter_id]
    assert found(accounts=["2"]) == []
    assert len(found(accounts=["1"], assets=["insights_hourly"])) == 2
    assert len(found(limit=1)) == 1
    assert asdict(second)["document"].startswith("{")


@pytest.mark.parametrize("refused", ["1202", "22"], ids=["ad", "campaign"])
def test_what_meta_refuses_to_show_is_a_dead_letter_and_keeps_its_rows(
    database, account, query, letters, replay_all, refused
):
    with database.connect() as connection:
        save_accounts(connection, [account])
    reader = FakeReader()
    one, two = ad_row(1), ad_row(2, campaign_id="22", adset_id="32")

    def pull(number):
        ctx = PullContext(f"sync-{number}", "run")
        pull_insights(database, reader, account, "insights_daily", [DAY], ctx)
        return [row["ad_id"] for row in query("select ad_id from raw.insights_daily order by 1")]

    reader.insights = {DAY: [one, two]}
    assert pull(1) == ["1201", "1202"]
    reader.insights = {DAY: [{**one, "spend": "99"}]}
    reader.left_out = (LeftOut("(#10) not yours", refused),)
    assert pull(2) == ["1201", "1202"], "what was landed of it stays"
    assert pull(3) == ["1201", "1202"]
    (letter,) = letters()
    assert (letter.object_id, letter.partition_date, letter.attempts) == (refused, DAY, 2)
    (result,) = replay_all()
    assert not result.landed
    command = f"meta-ads sync --start {DAY} --end {DAY} --account {account.account_id}"
    assert "(#10) not yours" in result.outcome
    assert command in result.outcome
    assert replay_all()[0].outcome == result.outcome, "said once, however often it is tried"
    reader.left_out = ()
    assert pull(4) == ["1201"], "really gone"
    assert [each.status for each in letters()] == [DeadLetterStatus.RESOLVED]


def test_a_row_lands_under_the_timezone_and_currency_of_its_pull(
    load, database, account, query, fix, replay_all
):
    """The account has moved since: seven o'clock is what it was when the row was pulled."""
    load([hour_row(1, hour=6), with_new_label()])
    fix()
    moved = replace(account, timezone="Asia/Tokyo", currency="JPY")
    with database.connect() as connection:
        save_accounts(connection, [moved])
    (result,) = replay_all()
    assert result.landed
    rows = query(
        "select event_hour, timezone, currency, (event_at at time zone %s)::time as local"
        " from raw.insights_hourly order by event_hour",
        account.timezone,
    )
    assert [tuple(row.values()) for row in rows] == [
        (hour, account.timezone, account.currency, time(hour)) for hour in (6, 7)
    ]

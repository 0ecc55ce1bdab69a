"""Slice states, syncs that resume, dead letters that count, and locks that die with their owner."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta

import pytest

from meta_ads_pipeline import __version__
from meta_ads_pipeline.control import dead_letters, slices
from meta_ads_pipeline.control.accounts import (
    Account,
    UnknownAccountError,
    active_accounts,
    save_accounts,
)
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.control.retry_delays import (
    FIRST_DELAY,
    LONGEST_DELAY,
    NEEDS_A_PERSON_DELAY,
)
from meta_ads_pipeline.control.slices import Attempt, SliceCounts, SliceKey
from meta_ads_pipeline.control.syncs import finish_sync, open_sync, sync_scope
from meta_ads_pipeline.run_tags import requested_by

KEY = SliceKey("1", "insights_hourly")
BY = Attempt("sync-1", "run-1")
DAYS = [date(2026, 11, day) for day in (8, 9, 10)]
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def connection(database):
    with database.connect(autocommit=True) as connection:
        yield connection


def finish(connection, dates=DAYS, by=BY, pulled_at=NOW, **counts):
    by_date = {day: SliceCounts(**counts) for day in dates}
    slices.finish(connection, KEY, by_date, by, pulled_at=pulled_at, api_calls={dates[0]: 3})


def states(connection):
    rows = connection.execute("select * from control.slices order by partition_date").fetchall()
    return {row["partition_date"]: row for row in rows}


def test_a_slice_goes_from_running_to_done(connection):
    slices.claim(connection, KEY, DAYS, BY)
    assert {row["status"] for row in states(connection).values()} == {"running"}
    assert slices.done_under(connection, KEY, "sync-1") == {}
    now = datetime.now(UTC)
    finish(connection, pulled_at=now, fetched=5, inserted=2, updated=1, deleted=4, unchanged=2)
    row = states(connection)[DAYS[0]]
    assert (row["status"], row["attempts"], row["api_calls"]) == ("done", 1, 3)
    assert row["finished_at"] >= row["started_at"]
    assert slices.done_under(connection, KEY, "sync-1") == dict.fromkeys(DAYS, 5)
    assert slices.done_under(connection, KEY, "sync-2") == {}
    assert slices.done_under(connection, SliceKey("2", KEY.asset), "sync-1") == {}


def test_attempts_count_since_the_slice_was_last_done(connection):
    for attempt in (1, 2, 3):
        slices.claim(connection, KEY, DAYS[:1], BY)
        slices.fail(connection, KEY, DAYS[:1], BY, kind="transient", message="no")
        row = states(connection)[DAYS[0]]
        assert (row["status"], row["attempts"]) == ("parked", attempt)
        assert (row["error_kind"], row["error_message"]) == ("transient", "no")
        delay = row["next_attempt_at"] - row["finished_at"]
        assert round(delay / FIRST_DELAY, 3) == 2 ** (attempt - 1)
    slices.claim(connection, KEY, DAYS[:1], BY)
    finish(connection, DAYS[:1])
    row = states(connection)[DAYS[0]]
    assert (row["attempts"], row["error_kind"], row["error_message"]) == (4, None, None)
    slices.claim(connection, KEY, DAYS[:1], BY)
    assert states(connection)[DAYS[0]]["attempts"] == 1


def test_a_failure_keeps_what_is_known_of_the_last_load(connection):
    finish(connection, DAYS[:1], inserted=7, fetched=7)
    slices.claim(connection, KEY, DAYS[:1], Attempt("sync-2", "run-2"))
    slices.fail(connection, KEY, DAYS[:1], BY, kind="auth", message="x" * 9000)
    assert slices.loaded_at(connection, KEY, DAYS) == {DAYS[0]: NOW}
    row = states(connection)[DAYS[0]]
    assert (row["rows_fetched"], len(row["error_message"])) == (7, 2000)


@pytest.mark.parametrize(
    ("kind", "status", "delay"),
    [
        ("auth", "failed", NEEDS_A_PERSON_DELAY),
        ("permission", "failed", NEEDS_A_PERSON_DELAY),
        ("invalid", "failed", None),
        ("rate_limit", "parked", FIRST_DELAY),
        ("database", "parked", FIRST_DELAY),
    ],
)
def test_only_what_may_pass_by_itself_is_parked(connection, kind, status, delay):
    slices.claim(connection, KEY, DAYS[:1], BY)
    slices.fail(connection, KEY, DAYS[:1], BY, kind=kind, message="no")
    row = states(connection)[DAYS[0]]
    assert row["status"] == status
    if delay is None:
        assert row["next_attempt_at"] is None
    else:
        assert abs(row["next_attempt_at"] - row["finished_at"] - delay) < timedelta(seconds=1)


def test_the_delay_stops_growing_at_a_day(connection):
    for _ in range(14):
        slices.claim(connection, KEY, DAYS[:1], BY)
    slices.fail(connection, KEY, DAYS[:1], BY, kind="transient", message="no")
    row = states(connection)[DAYS[0]]
    assert abs(row["next_attempt_at"] - row["finished_at"] - LONGEST_DELAY) < timedelta(seconds=1)


def test_the_same_pull_landed_twice_is_one_load_in_the_audit(connection):
    finish(connection, inserted=3)
    finish(connection, unchanged=3)
    finish(connection, unchanged=3, pulled_at=NOW + timedelta(minutes=1))
    loads = connection.execute(
        "select partition_date, array_agg(rows_inserted order by load_id) as inserted"
        " from control.slice_loads group by 1"
    ).fetchall()
    assert {row["partition_date"]: row["inserted"] for row in loads} == {
        day: [3, 0] for day in DAYS
    }


def test_a_failure_is_recorded_even_where_nothing_was_claimed(connection):
    slices.fail(connection, KEY, DAYS, BY, kind="auth", message="dead")
    assert {row["status"] for row in states(connection).values()} == {"failed"}


def test_rows_per_day_is_the_mean_of_the_latest_slices(connection):
    assert slices.rows_per_day(connection, KEY) is None
    finish(connection, DAYS[:2], fetched=10)
    finish(connection, DAYS[2:], fetched=40)
    assert slices.rows_per_day(connection, KEY) == 20


def test_the_audit_has_a_row_for_every_load(connection):
    finish(connection, inserted=1, fetched=1)
    finish(connection, DAYS[:1], unchanged=1, fetched=1, pulled_at=NOW + timedelta(minutes=1))
    rows = connection.execute("select * from control.slice_loads order by load_id").fetchall()
    assert [row["rows_inserted"] for row in rows] == [1, 1, 1, 0]
    assert {(row["sync_id"], row["run_id"]) for row in rows} == {("sync-1", "run-1")}


def test_the_lock_of_a_killed_process_is_free_again(database):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, datetime\n"
            "from meta_ads_pipeline.control.database import Database\n"
            "from meta_ads_pipeline.control import slices\n"
            "key = slices.SliceKey('1', 'insights_hourly')\n"
            "with slices.exclusive(Database(sys.argv[1]), key, [datetime.date(2026, 11, 8)]):\n"
            "    print('held', flush=True)\n"
            "    sys.stdin.read()\n",
            database.url,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    got = threading.Event()

    def take():
        with slices.exclusive(database, KEY, DAYS):
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not got.wait(0.5)
    holder.kill()
    holder.communicate()
    assert got.wait(20)
    waiting.join()


def test_three_years_are_one_lock_of_postgres(database):
    years = [DAYS[0] - timedelta(days=n) for n in range(1100)]
    with slices.exclusive(database, KEY, years), database.connect() as connection:
        (row,) = connection.execute(
            "select count(*) as n from pg_locks where locktype = 'advisory' and database ="
            " (select oid from pg_database where datname = current_database())"
        ).fetchall()
    assert row["n"] == 1


def test_a_hundred_accounts_locks_are_one_session(database):
    keys = [slices.SliceKey(str(number), "ads") for number in range(100)]
    sessions = (
        "select pid, count(*) as n from pg_locks where locktype = 'advisory'"
        f" and classid::bigint = {slices.LOCK_CLASS} and database ="
        " (select oid from pg_database where datname = current_database()) group by 1"
    )
    with database.connect() as connection:
        with ExitStack() as stack:
            for key in keys:
                stack.enter_context(slices.exclusive(database, key, DAYS))
            assert [row["n"] for row in connection.execute(sessions).fetchall()] == [100]
        assert connection.execute(sessions).fetchall() == []


def test_a_lock_that_was_lost_is_noticed_and_taken_again(database, caplog):
    with slices.exclusive(database, KEY, DAYS) as lock:
        with database.connect(autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory' and classid::bigint = %s and database ="
                " (select oid from pg_database where datname = current_database())",
                [slices.LOCK_CLASS],
            )
        lock.check()
        assert "lost the database connection" in caplog.text
        got = threading.Event()

        def take():
            with slices.exclusive(database, KEY, DAYS[:1]):
                got.set()

        waiting = threading.Thread(target=take)
        waiting.start()
        assert not got.wait(0.7)
        lock.release(DAYS[:1])
        assert got.wait(20)
        waiting.join()


def test_a_resume_reads_again_what_may_have_changed(database):
    """Yesterday's pull of an open day is old news; that of a settled one is not."""
    now = datetime.now(UTC)
    today = now.date()
    ages = {today: 20, today - timedelta(days=5): 20, today - timedelta(days=60): 20}
    with database.connect() as connection:
        for day, minutes in ages.items():
            finish(connection, [day], pulled_at=now - timedelta(minutes=minutes))
        assert set(slices.done_under(connection, KEY, "sync-1")) == set(list(ages)[1:])
        for day in ages:
            finish(connection, [day], pulled_at=now - timedelta(hours=20))
        assert set(slices.done_under(connection, KEY, "sync-1")) == set(list(ages)[2:])


def test_what_meta_no_longer_keeps_is_marked_and_what_landed_stays(database):
    with database.connect() as connection:
        finish(connection, DAYS[:1])
        slices.fail(connection, KEY, DAYS[:2], BY, kind="invalid", message="too old")
        slices.mark_not_kept(connection, KEY, DAYS[:3], BY)
        rows = connection.execute(
            "select status from control.slices order by partition_date"
        ).fetchall()
        assert [row["status"] for row in rows] == ["done", "not_kept", "not_kept"]
        assert slices.undone_under(connection, BY.sync_id, DAYS) == []


def test_different_slices_do_not_wait_for_each_other(database):
    others = (SliceKey("2", KEY.asset), SliceKey("1", "insights_daily"))
    with slices.exclusive(database, KEY, DAYS[:1]), slices.exclusive(database, KEY, DAYS[1:]):
        for other in others:
            with slices.exclusive(database, other, DAYS):
                pass


def test_the_same_request_resumes_while_unfinished_and_begins_anew_when_done(database):
    first = open_sync(database, DAYS[0], DAYS[-1], ["2", "act_1"])
    assert not first.resumed
    finish_sync(database, first.sync_id, succeeded=False)
    second = open_sync(database, DAYS[0], DAYS[-1], ["1", "2"])
    assert (second.sync_id, second.resumed) == (first.sync_id, True)
    assert second.started_at == first.started_at
    finish_sync(database, second.sync_id, succeeded=True)
    third = open_sync(database, DAYS[0], DAYS[-1], ["1", "2"])
    assert not third.resumed
    assert third.sync_id != first.sync_id


@pytest.mark.parametrize(
    ("start", "end", "accounts"),
    [(DAYS[0], DAYS[1], ()), (DAYS[0], DAYS[2], ["1"]), (DAYS[1], DAYS[2], ())],
)
def test_another_request_is_another_sync(database, start, end, accounts):
    first = open_sync(database, DAYS[0], DAYS[2])
    other = open_sync(database, start, end, accounts)
    assert other.sync_id != first.sync_id
    assert not other.resumed


def test_an_unfinished_sync_of_days_ago_begins_anew(database, connection):
    first = open_sync(database, DAYS[0], DAYS[2])
    connection.execute("update control.syncs set started_at = now() - interval '25 hours'")
    again = open_sync(database, DAYS[0], DAYS[2])
    assert again.sync_id != first.sync_id
    assert not again.resumed
    longer = open_sync(database, DAYS[0], DAYS[2], resumed_within=timedelta(days=30))
    assert longer.resumed


def test_the_scope_does_not_depend_on_the_order_of_accounts():
    assert sync_scope(DAYS[0], DAYS[1], ["2", "act_1", "2"]) == sync_scope(
        DAYS[0], DAYS[1], ["1", "2"]
    )


LETTER = DeadLetter("1", "insights_hourly", "spend: expected 0 or more", '{"spend": "-1"}', DAYS[0])


def letters(connection):
    return connection.execute("select * from control.dead_letters").fetchall()


def test_the_same_letter_counts_attempts_and_reopens_after_a_replay(connection):
    dead_letters.record(connection, [LETTER, LETTER])
    dead_letters.record(connection, [LETTER])
    (row,) = letters(connection)
    assert (row["attempts"], row["status"]) == (2, "open")
    assert row["last_seen_at"] >= row["first_seen_at"]
    for status, after in (("replayed", "open"), ("discarded", "discarded")):
        connection.execute("update control.dead_letters set status = %s", [status])
        dead_letters.record(connection, [LETTER])
        assert letters(connection)[0]["status"] == after


def test_no_letters_is_no_work(connection):
    dead_letters.record(connection, [])
    assert letters(connection) == []


def test_active_accounts_are_those_that_are_on_or_asked_for(database, connection):
    accounts = [Account(number, "Europe/Berlin", "EUR", f"No {number}") for number in "123"]
    save_accounts(connection, accounts)
    connection.execute("update control.ad_accounts set is_active = false where account_id = '2'")
    assert active_accounts(database) == [accounts[0], accounts[2]]
    assert active_accounts(database, only=["act_2"]) == [accounts[1]]
    save_accounts(connection, [Account("2", "Europe/Madrid", "EUR", "Moved")])
    assert [each.account_id for each in active_accounts(database)] == ["1", "3"]
    assert active_accounts(database, only=["2"])[0].timezone == "Europe/Madrid"


def test_an_unknown_account_is_named_with_those_there_are(database, connection):
    save_accounts(connection, [Account("1", "Europe/Berlin", "EUR", "One")])
    with pytest.raises(UnknownAccountError, match=r"ad account 7 .* reads 1 \(One\)"):
        active_accounts(database, only=["1", "7"])
    with pytest.raises(UnknownAccountError, match=r"ad accounts 7, 8 .*reads 1"):
        active_accounts(database, only=["7", "8"])


def test_every_attempt_is_audited_with_who_asked_and_what_came_of_it(connection):
    by = Attempt("sync-1", "run-1", "schedule refresh_today", "v26.0")
    slices.claim(connection, KEY, DAYS[:2], by)
    slices.fail(connection, KEY, DAYS[:2], by, kind="transient", message="no")
    slices.claim(connection, KEY, DAYS[:1], by)
    counts = {DAYS[0]: SliceCounts(fetched=7, inserted=5, unchanged=2)}
    slices.finish(connection, KEY, counts, by, pulled_at=NOW, api_calls={DAYS[0]: 3})
    failures = connection.execute(
        "select partition_date, status, error_kind, requested_by, api_version, code_version,"
        " started_at <= failed_at as in_order from control.slice_failures order by 1"
    ).fetchall()
    assert [tuple(row.values()) for row in failures] == [
        (day, "parked", "transient", "schedule refresh_today", "v26.0", __version__, True)
        for day in DAYS[:2]
    ]
    (load,) = connection.execute(
        "select api_calls, rows_fetched, requested_by, api_version, code_version,"
        " started_at > (select max(failed_at) from control.slice_failures) as is_later"
        " from control.slice_loads"
    ).fetchall()
    assert tuple(load.values()) == (3, 7, "schedule refresh_today", "v26.0", __version__, True)


@pytest.mark.parametrize(
    ("tags", "asker"),
    [
        ({"dagster/schedule_name": "refresh_today"}, "schedule refresh_today"),
        ({"dagster/sensor_name": "backfill_gaps"}, "sensor backfill_gaps"),
        ({"dagster/backfill": "abcd"}, "backfill abcd"),
        ({"meta_ads/command": "sync", ".dagster/grpc_info": "{}"}, "meta-ads sync"),
        ({".dagster/grpc_info": "{}"}, "Dagster UI"),
        ({}, "Dagster"),
    ],
)
def test_who_asked_is_told_from_the_tags_of_the_run(tags, asker):
    assert requested_by(tags) == asker

"""Pulling insights: what is asked, what is landed when, what a failure leaves, how it resumes."""

import itertools
import subprocess
import sys
import threading
from datetime import UTC, date, datetime

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.slices import Attempt, SliceKey
from meta_ads_pipeline.control.syncs import open_sync
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.raw import load
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_insights import consecutive_windows, pull_insights
from tests.raw.fake_reader import NO_PERMISSION, TOKEN_DEAD, TRANSIENT, FakeReader, api_error
from tests.raw.insights_rows import DAY, days, hour_row, hour_rows
from tests.raw.one_pull import for_each_account

CONTEXT = PullContext(sync_id="sync-1", run_id="run-1")
WEEK = days(7)


@pytest.fixture
def reader():
    reader = FakeReader()
    reader.insights = {day: hour_rows(1, [day], hours=2) for day in WEEK}
    return reader


def statuses(query):
    return {
        row["partition_date"]: row["status"]
        for row in query("select partition_date, status from control.slices")
    }


def test_every_slice_is_landed_newest_first_and_reported(database, reader, account, query):
    told = []
    context = PullContext("sync-1", "run-1", progress=told.extend)
    reports = pull_insights(database, reader, account, "insights_hourly", WEEK, context)
    assert [report.partition_date for report in reports] == WEEK
    assert {(r.fetched, r.inserted, r.row_count, r.skipped) for r in reports} == {(2, 2, 2, False)}
    assert [report.partition_date for report in told] == WEEK[::-1]
    assert query("select count(*) from raw.insights_hourly") == [{"count": 14}]
    assert reader.asked_windows == [(WEEK[0], WEEK[-1])]


def test_nothing_to_do_asks_nothing(database, reader, account):
    assert pull_insights(database, reader, account, "insights_hourly", [], CONTEXT) == []
    assert reader.asked_windows == []


def test_a_date_without_rows_is_done_and_empty(database, reader, account, query):
    reader.insights = {}
    (report,) = pull_insights(database, reader, account, "insights_hourly", [DAY], CONTEXT)
    assert (report.fetched, report.row_count, report.skipped) == (0, 0, False)
    assert statuses(query) == {DAY: "done"}


def test_done_slices_are_not_fetched_again_under_the_same_sync(database, reader, account):
    pull_insights(database, reader, account, "insights_hourly", WEEK[2:4], CONTEXT)
    reports = pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    assert reader.asked_windows[1:] == [(WEEK[4], WEEK[6]), (WEEK[0], WEEK[1])]
    assert [report.skipped for report in reports] == [False] * 2 + [True] * 2 + [False] * 3
    assert {report.row_count for report in reports} == {2}


def test_another_sync_fetches_them_again(database, reader, account):
    pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    again = PullContext("sync-2", "run-2")
    reports = pull_insights(database, reader, account, "insights_hourly", WEEK, again)
    assert {(report.unchanged, report.skipped) for report in reports} == {(2, False)}


def test_a_slice_done_by_someone_else_since_the_sync_began_counts_as_done(
    database, reader, account
):
    sync = open_sync(database, WEEK[0], WEEK[-1])
    pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    mine = PullContext(sync.sync_id, "run-2")
    reports = pull_insights(database, reader, account, "insights_hourly", WEEK, mine)
    assert all(report.skipped for report in reports)
    assert len(reader.asked_windows) == 1


def test_a_mismatched_slice_is_not_done(database, reader, account, query):
    pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    with database.connect() as connection:
        connection.execute(
            "update control.slices set status = 'mismatched' where partition_date = %s", [WEEK[3]]
        )
    pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    assert reader.asked_windows[1:] == [(WEEK[3], WEEK[3])]
    assert set(statuses(query).values()) == {"done"}


def test_a_failure_keeps_what_was_landed_and_names_itself_on_the_rest(
    database, reader, account, query
):
    def fail(day):
        if day == WEEK[3]:
            raise api_error(NO_PERMISSION)

    reader.before_part = fail
    with pytest.raises(MetaApiError):
        pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    expected = dict.fromkeys(WEEK[:4], "failed") | dict.fromkeys(WEEK[4:], "done")
    assert statuses(query) == expected
    failed = query(
        "select distinct error_kind, error_message, attempts from control.slices"
        " where status = 'failed'"
    )
    assert len(failed) == 1
    assert failed[0]["error_kind"] == "permission"
    assert "no permission" in failed[0]["error_message"]
    reader.before_part = lambda _: None
    pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    assert reader.asked_windows[1:] == [(WEEK[0], WEEK[3])]
    rows = query("select distinct status, error_kind, error_message from control.slices")
    assert rows == [{"status": "done", "error_kind": None, "error_message": None}]
    assert {
        row["partition_date"]: row["attempts"] for row in query("select * from control.slices")
    } == dict.fromkeys(WEEK[:4], 2) | dict.fromkeys(WEEK[4:], 1)


def test_a_passing_failure_of_one_window_does_not_cost_the_others(database, reader, account, query):
    # A done slice in the middle makes two windows; the newer one fails after its first part.
    pull_insights(database, reader, account, "insights_hourly", [WEEK[3]], CONTEXT)

    def fail(day):
        if day == WEEK[4]:
            raise api_error(TRANSIENT)

    reader.before_part = fail
    with pytest.raises(MetaApiError):
        pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    parked = [day for day, status in statuses(query).items() if status == "parked"]
    assert parked == [WEEK[4]]


def test_a_dead_token_stops_at_once(database, reader, account, query):
    pull_insights(database, reader, account, "insights_hourly", [WEEK[3]], CONTEXT)

    def fail(_):
        raise api_error(TOKEN_DEAD)

    reader.before_part = fail
    with pytest.raises(MetaApiError):
        pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    assert len(reader.asked_windows) == 2
    kinds = query("select distinct error_kind from control.slices where status = 'failed'")
    assert kinds == [{"error_kind": "auth"}]


def test_an_unexpected_error_is_recorded_without_secrets(database, reader, account, query):
    def fail(_):
        raise RuntimeError("https://graph.facebook.com/x?access_token=EAAsecretsecret&y=1 broke")

    reader.before_part = fail
    with pytest.raises(RuntimeError):
        pull_insights(database, reader, account, "insights_hourly", [DAY], CONTEXT)
    (row,) = query("select error_kind, error_message from control.slices")
    assert row["error_kind"] == "internal"
    assert "RuntimeError" in row["error_message"]
    assert "EAAsecret" not in row["error_message"]


def test_a_day_in_pieces_is_landed_when_all_have_come(database, account, query):
    class InPieces(FakeReader):
        def iter_insights(self, account, start, end, **_):
            for ad in (1, 2):
                part = InsightsQuery("1", "ad", "hour", DAY, DAY, "ad", (str(1200 + ad),))
                yield InsightsPart(part, [hour_row(ad)], datetime.now(UTC), "sync")
                assert query("select count(*) from raw.insights_hourly") == [{"count": 0}]

    (report,) = pull_insights(database, InPieces(), account, "insights_hourly", [DAY], CONTEXT)
    assert report.inserted == 2


def test_the_rows_of_earlier_loads_tell_the_client_what_to_expect(database, reader, account):
    pull_insights(database, reader, account, "insights_hourly", WEEK[:2], CONTEXT)
    pull_insights(database, reader, account, "insights_hourly", WEEK[2:], CONTEXT)
    assert reader.asked_rows_per_day == [None, 2.0]


def test_two_runs_never_fetch_the_same_slice_at_once(database, reader, account):
    at_work = []
    overlaps = []

    def watch(day):
        at_work.append(day)
        overlaps.append(at_work.count(day) > 1)
        threading.Event().wait(0.05)
        at_work.remove(day)

    reader.before_part = watch
    results = []

    def run():
        results.append(
            pull_insights(database, reader, account, "insights_hourly", WEEK[:4], CONTEXT)
        )

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(overlaps)
    # The first fetched them all; the others waited, then found them done under the same sync.
    assert reader.asked_windows == [(WEEK[0], WEEK[3])]
    assert sum(report.skipped for reports in results for report in reports) == 8


def test_landed_dates_are_free_for_others_before_the_pull_ends(database, reader, account):
    key = SliceKey("1", "insights_hourly")

    def check(day):
        if day == WEEK[0]:
            with slices.exclusive(database, key, WEEK[1:]):
                pass

    reader.before_part = check
    pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)


def test_one_account_s_failure_leaves_the_others_done(database, reader, account):
    from dataclasses import replace

    accounts = [replace(account, account_id=str(number)) for number in (1, 2, 3)]

    def work(each):
        if each.account_id == "2":
            raise api_error(NO_PERMISSION)
        return pull_insights(database, reader, each, "account_totals", [DAY], CONTEXT)

    pulled = for_each_account(accounts, work, max_accounts=2)
    assert [report.account_id for report in pulled.reports] == ["1", "3"]
    assert list(pulled.failures) == ["2"]
    assert isinstance(pulled.failures["2"], MetaApiError)


def test_no_accounts_is_no_work():
    pulled = for_each_account([], lambda _: [], max_accounts=4)
    assert (pulled.reports, pulled.failures) == ([], {})


@given(st.sets(st.dates(date(2026, 1, 1), date(2026, 2, 28))))
def test_windows_cover_the_dates_exactly_newest_first(dates):
    windows = list(consecutive_windows(sorted(dates)))
    assert sorted(day for window in windows for day in window.dates) == sorted(dates)
    assert all((newer.start - older.end).days > 1 for newer, older in itertools.pairwise(windows))


def test_the_attempt_in_the_slice_is_the_run_s(database, reader, account, query):
    pull_insights(database, reader, account, "insights_hourly", [DAY], CONTEXT)
    (row,) = query("select sync_id, run_id from control.slices")
    assert Attempt(row["sync_id"], row["run_id"]) == CONTEXT.attempt


def test_a_load_that_fails_is_on_the_slices_with_its_kind(
    database, reader, account, query, monkeypatch
):
    def lose_the_server(*_, **__):
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(load.slices, "finish", lose_the_server)
    with pytest.raises(psycopg.OperationalError):
        pull_insights(database, reader, account, "insights_hourly", WEEK[:2], CONTEXT)
    assert query("select distinct status, error_kind from control.slices") == [
        {"status": "parked", "error_kind": "database"}
    ]
    assert query("select count(*) from raw.insights_hourly") == [{"count": 0}]


KILLED_PULL = """
import sys, time
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_insights import pull_insights
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import days, hour_rows

week = days(7)
reader = FakeReader()
reader.insights = {day: hour_rows(1, [day], hours=2) for day in week}
landed = []

def stop_in_the_middle(day):
    if day == week[2]:
        while len(landed) < 4:
            time.sleep(0.01)
        print("in the middle", flush=True)
        time.sleep(600)

reader.before_part = stop_in_the_middle
context = PullContext("sync-1", "killed", progress=landed.extend)
account = Account("1", "America/New_York", "USD")
pull_insights(Database(sys.argv[1]), reader, account, "insights_hourly", week, context)
"""


def test_a_killed_pull_is_gone_on_with_where_it_stood(database, reader, account, query):
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED_PULL, database.url], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == "in the middle\n"
    killed.kill()
    killed.communicate()
    expected = dict.fromkeys(WEEK[:3], "running") | dict.fromkeys(WEEK[3:], "done")
    assert statuses(query) == expected
    reports = pull_insights(database, reader, account, "insights_hourly", WEEK, CONTEXT)
    assert reader.asked_windows == [(WEEK[0], WEEK[2])]
    assert [report.skipped for report in reports] == [False] * 3 + [True] * 4
    assert query("select count(*) from raw.insights_hourly") == [{"count": 14}]

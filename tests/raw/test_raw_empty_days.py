"""A past day that had rows and is answered with none is not emptied at once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.alerting.watch import update_watched
from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.retry_delays import FIRST_DELAY
from meta_ads_pipeline.control.slices import Attempt, SliceKey
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.quality.mismatches import update_slices
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.empty_days import PULLS_UNTIL_EMPTY
from meta_ads_pipeline.raw.failures import EmptyAnswerError
from meta_ads_pipeline.raw.kept_dates import askable, first_kept
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.windows import months_before
from tests.raw.fake_reader import NO_PERMISSION, TRANSIENT, FakeReader, api_error
from tests.raw.insights_rows import DAY, ad_row, days

ACCOUNT = Account("1", "Europe/Berlin", "EUR")
WEEK = days(3)
LIMIT = {"message": "(#17) User request limit reached", "code": 17, "is_transient": True}


class Reader(FakeReader):
    """By account it says what ``totals`` has."""

    def __init__(self):
        super().__init__()
        self.totals = {}
        self.levels = []

    def iter_insights(self, *arguments, level, **options):
        mine = self.insights
        self.levels.append(level)
        if level == "account":
            self.insights = self.totals
        try:
            yield from super().iter_insights(*arguments, level=level, **options)
        finally:
            self.insights = mine


@pytest.fixture
def reader(database, account):
    with database.connect() as connection:
        save_accounts(connection, [ACCOUNT])
    reader = Reader()
    reader.insights = {day: [ad_row(1, day), ad_row(2, day)] for day in WEEK}
    pull(database, reader, 0)
    return reader


def pull(database, reader, sync, dates=WEEK, **options):
    ctx = PullContext(f"sync-{sync}", f"run-{sync}", **options)
    return pull_insights(database, reader, ACCOUNT, "insights_daily", dates, ctx)


def rows_by_day(database):
    with database.connect() as connection:
        rows = connection.execute(
            "select event_date, count(*) as n from raw.insights_daily group by 1"
        ).fetchall()
    return {row["event_date"]: row["n"] for row in rows}


def alerts(database, *, days_later=0):
    """What stands once everything that goes wrong was looked for."""
    update_watched(database, Settings(), datetime.now(UTC) + timedelta(days=days_later))
    found = [each.alert for each in list_open_alerts(database)]
    return [alert.message for alert in found if alert.kind == "day_without_rows"]


def test_a_day_whose_account_has_rows_is_kept_and_the_others_land(database, reader):
    reader.totals = {DAY: [ad_row(1)]}
    reader.insights = {WEEK[1]: [ad_row(1, WEEK[1])], WEEK[2]: [ad_row(1, WEEK[2])]}
    for sync in range(1, 6):
        with pytest.raises(EmptyAnswerError, match="Meta has some"):
            pull(database, reader, sync)
    assert rows_by_day(database) == {WEEK[0]: 2, WEEK[1]: 1, WEEK[2]: 1}
    with database.connect() as connection:
        states = connection.execute(
            "select status, error_kind from control.slices order by partition_date"
        ).fetchall()
    assert [(s["status"], s["error_kind"]) for s in states] == [
        ("parked", "empty_answer"),
        ("done", None),
        ("done", None),
    ]
    (told,) = alerts(database)
    assert f"{DAY} (what was landed is kept" in told
    reader.insights = {DAY: [ad_row(1)]}
    pull(database, reader, 6, [DAY])
    assert alerts(database) == []


def test_a_day_goes_when_several_pulls_in_a_row_find_nothing_by_either_way(database, reader):
    reader.insights = {}
    for sync in range(1, PULLS_UNTIL_EMPTY):
        with pytest.raises(EmptyAnswerError):
            pull(database, reader, sync, [DAY])
        assert rows_by_day(database)[DAY] == 2
    pull(database, reader, PULLS_UNTIL_EMPTY, [DAY])
    assert DAY not in rows_by_day(database)
    pull(database, reader, PULLS_UNTIL_EMPTY + 1, [DAY])
    (told,) = alerts(database)
    assert f"{DAY} (several pulls in a row said so: the rows are removed" in told
    assert alerts(database, days_later=4) == []
    assert len(alerts(database)) == 1
    reader.insights = {DAY: [ad_row(1)]}
    pull(database, reader, PULLS_UNTIL_EMPTY + 2, [DAY])
    assert alerts(database) == []


def test_several_pulls_in_a_row_are_hours_apart():
    delays = (FIRST_DELAY * 2**doubled for doubled in range(PULLS_UNTIL_EMPTY - 1))
    assert sum(delays, timedelta(0)) > timedelta(hours=5)


def test_an_answer_with_rows_in_between_begins_the_count_anew(database, reader):
    full, reader.insights = reader.insights, {}
    for sync in range(1, PULLS_UNTIL_EMPTY):
        with pytest.raises(EmptyAnswerError):
            pull(database, reader, sync, [DAY])
    reader.insights = full
    pull(database, reader, PULLS_UNTIL_EMPTY, [DAY])
    reader.insights = {}
    with pytest.raises(EmptyAnswerError):
        pull(database, reader, PULLS_UNTIL_EMPTY + 1, [DAY])


def fail(database, reader, sync, error):
    """A pull that brings no answer."""

    def refuse(_day):
        raise error

    reader.before_part = refuse
    with pytest.raises(type(error)):
        pull(database, reader, sync, [DAY])
    reader.before_part = lambda _: None


def times_found_empty(database, reader, sync):
    """What one more empty answer is told to be."""
    with pytest.raises(EmptyAnswerError) as told:
        pull(database, reader, sync, [DAY])
    return int(re.search(r"this was number (\d+)", str(told.value))[1])


@pytest.mark.parametrize(
    "error",
    [api_error(TRANSIENT), api_error(LIMIT), api_error(NO_PERMISSION), RuntimeError("a bug")],
    ids=["transient", "rate_limit", "permission", "internal"],
)
def test_pulls_without_an_answer_do_not_say_that_the_day_is_empty(database, reader, error):
    for sync in range(1, PULLS_UNTIL_EMPTY + 1):
        fail(database, reader, sync, error)
    reader.insights = {}
    assert times_found_empty(database, reader, PULLS_UNTIL_EMPTY + 1) == 1
    assert rows_by_day(database)[DAY] == 2


def test_pulls_that_were_killed_do_not_say_that_the_day_is_empty(database, reader):
    key = SliceKey("1", "insights_daily")
    for sync in range(1, PULLS_UNTIL_EMPTY + 1):
        with database.connect() as connection:
            slices.claim(connection, key, [DAY], Attempt(f"sync-{sync}", f"run-{sync}"))
    reader.insights = {}
    assert times_found_empty(database, reader, PULLS_UNTIL_EMPTY + 1) == 1


def test_pulls_of_a_mismatched_day_had_rows(database, reader):
    full = reader.insights
    for sync in range(1, PULLS_UNTIL_EMPTY + 1):
        update_slices(database, {("1", DAY): "hours differ"}, (), assets=("insights_daily",))
        pull(database, reader, sync, [DAY])
    update_slices(database, {("1", DAY): "hours differ"}, (), assets=("insights_daily",))
    reader.insights = {}
    assert times_found_empty(database, reader, 20) == 1
    assert times_found_empty(database, reader, 21) == 2
    reader.insights = full
    pull(database, reader, 22, [DAY])
    update_slices(database, {("1", DAY): "hours differ"}, (), assets=("insights_daily",))
    reader.insights = {}
    assert times_found_empty(database, reader, 23) == 1


def test_failures_between_empty_answers_leave_their_count_as_it_is(database, reader):
    reader.insights = {}
    for number in range(1, PULLS_UNTIL_EMPTY):
        assert times_found_empty(database, reader, f"{number}-empty") == number
        fail(database, reader, f"{number}-failed", api_error(TRANSIENT))
    assert rows_by_day(database)[DAY] == 2
    pull(database, reader, "last", [DAY])
    assert DAY not in rows_by_day(database)


def test_rows_at_the_other_level_begin_the_count_anew(database, reader):
    reader.insights = {}
    for number in range(1, PULLS_UNTIL_EMPTY):
        assert times_found_empty(database, reader, number) == number
    reader.totals = {DAY: [ad_row(1)]}
    with pytest.raises(EmptyAnswerError, match="Meta has some"):
        pull(database, reader, "contradicted", [DAY])
    reader.totals = {}
    assert times_found_empty(database, reader, "again") == 1


def test_each_emptied_day_is_judged_by_itself(database, reader):
    reader.insights = {WEEK[2]: [ad_row(1, WEEK[2])]}
    for number in range(1, PULLS_UNTIL_EMPTY):
        assert times_found_empty(database, reader, number) == number
    reader.totals = {WEEK[1]: [ad_row(1, WEEK[1])]}
    reader.insights = {}
    with pytest.raises(EmptyAnswerError):
        pull(database, reader, "all")
    assert rows_by_day(database) == {WEEK[1]: 2, WEEK[2]: 2}
    with database.connect() as connection:
        told = connection.execute(
            "select partition_date, status, error_message from control.slices order by 1"
        ).fetchall()
    assert [row["status"] for row in told] == ["done", "parked", "parked"]
    assert told[1]["error_message"].endswith(
        f"{WEEK[1]}: no rows, though Meta has some by account. The landed rows are kept"
    )
    assert f"{WEEK[2]}: no rows, where there were some" in told[2]["error_message"]
    (alert,) = alerts(database)
    assert f"{WEEK[1]}, {WEEK[2]} (what was landed is kept" in alert


def test_a_row_of_no_date_at_the_other_level_may_be_of_any_day(database, reader):
    reader.insights = {}
    for odd in ([], {"a": 1}, None, 7, "soon"):
        reader.totals = {DAY: [ad_row(1, date_start=odd)]}
        with pytest.raises(EmptyAnswerError, match="Meta has some"):
            pull(database, reader, f"odd {odd}", [DAY])


def test_a_day_whose_other_level_fails_is_no_obstacle_to_the_others(database, reader):
    reader.insights = {WEEK[1]: [ad_row(1, WEEK[1])]}

    def refuse(day):
        if level[-1] == "account" and day == WEEK[2]:
            raise api_error(TRANSIENT)

    level = reader.levels
    reader.before_part = refuse
    with pytest.raises(MetaApiError):
        pull(database, reader, 1)
    with database.connect() as connection:
        told = connection.execute(
            "select error_kind from control.slices order by partition_date"
        ).fetchall()
    assert [row["error_kind"] for row in told] == ["empty_day", None, "transient"]


def test_today_and_days_that_had_nothing_may_be_empty(database, reader):
    reader.insights = {}
    noon = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    pull(database, reader, 1, [DAY], now=lambda: noon)
    pull(database, reader, 2, [DAY])
    assert DAY not in rows_by_day(database)


def test_dates_that_meta_no_longer_keeps_are_not_asked_for(database, account):
    today = datetime.now(UTC).date()
    for asset, months in (("insights_hourly", 13), ("insights_daily", 37), ("account_totals", 37)):
        first = months_before(today, months)
        assert first_kept(asset, today) == first
        dates = [first.replace(day=1) - (WEEK[1] - WEEK[0]), today]
        ctx = PullContext("sync", "run")
        with database.connect() as connection:
            asked = askable(connection, ACCOUNT, asset, dates, ctx.attempt, datetime.now(UTC))
            rows = connection.execute(
                "select partition_date, status from control.slices where asset = %s", [asset]
            ).fetchall()
        assert asked == [today]
        assert rows == [{"partition_date": dates[0], "status": "not_kept"}]
    assert first_kept("campaigns", today) is None

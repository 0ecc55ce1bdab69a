"""A timezone changes at Meta: landed dates keep theirs, a re-pull replaces them whole."""

from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.timezones import CHANGED, account_timezones
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import land_account, pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.run_tags import REFRESH_RECENT
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import DAY, ad_row, days, hour_row

START = datetime(2026, 11, 20, tzinfo=UTC)


class ByGrain(FakeReader):
    """Hours for the grain of hours, days for the others."""

    def iter_insights(self, account, start, end, *, level, grain, **options):
        by_day = {}
        for day in days(5):
            ad_day = ad_row(1, day)
            if level == "account":
                ad_day = {k: v for k, v in ad_day.items() if k not in ("ad_id", "adset_id")}
            by_day[day] = [hour_row(1, day, 9) if grain == "hour" else ad_day]
        self.insights = by_day
        return super().iter_insights(account, start, end, level=level, grain=grain, **options)


@pytest.fixture
def reader():
    return ByGrain()


@pytest.fixture
def pull_account(database, reader):
    def pull(timezone, hours=0):
        reader.accounts = [
            {"id": "act_1", "account_id": "1", "currency": "EUR", "timezone_name": timezone}
        ]
        now = START + timedelta(hours=hours)
        (account,) = pull_ad_accounts(
            database, reader, ctx=PullContext("sync", "run", now=lambda: now)
        )
        return account

    return pull


@pytest.fixture
def land(database, reader):
    def land(account, dates, sync, *, refresh=None):
        for asset in ("insights_hourly", "insights_daily", "account_totals"):
            ctx = PullContext(sync, "run", refresh=refresh)
            pull_insights(database, reader, account, asset, dates, ctx)

    return land


def timezones(database):
    return [
        (each.timezone, (each.valid_from - START) / timedelta(hours=1))
        for each in account_timezones(database, "1")
    ]


def test_each_timezone_is_kept_from_the_pull_that_first_saw_it(database, pull_account):
    for timezone, hours in (
        ("Europe/Berlin", 0),
        ("Europe/Berlin", 5),
        ("America/New_York", 7),
        ("America/New_York", 9),
        ("Europe/Berlin", 30),
    ):
        pull_account(timezone, hours)
    seen = [("Europe/Berlin", 0), ("America/New_York", 7), ("Europe/Berlin", 30)]
    assert timezones(database) == seen


def test_a_document_that_was_read_earlier_changes_no_history(database, pull_account):
    """A dead letter of yesterday, replayed today."""
    account = pull_account("Europe/Berlin", 10)
    document = {"id": "act_1", "currency": "EUR", "timezone_name": "Asia/Tokyo"}
    with database.connect() as connection:
        land_account(connection, document, account.workspace_id, START)
    assert timezones(database) == [("Europe/Berlin", 10)]


def test_landed_dates_keep_their_timezone_until_they_are_pulled_again(
    database, query, pull_account, land
):
    dates = days(3)
    land(pull_account("Europe/Berlin"), dates, "first")
    account = pull_account("America/New_York", 24)
    land(account, dates[2:], "second")
    rows = query(
        "select event_date, event_hour, event_at, timezone from raw.insights_hourly order by 1"
    )
    assert [(row["timezone"], row["event_at"].hour) for row in rows] == [
        ("Europe/Berlin", 8),
        ("Europe/Berlin", 8),
        ("America/New_York", 14),
    ]
    assert {row["event_hour"] for row in rows} == {9}, "Meta's label, of whichever timezone"
    (raised,) = list_open_alerts(database, "ad account 1")
    assert raised.alert.kind == CHANGED
    assert "America/New_York" in raised.alert.message
    assert "Europe/Berlin" in raised.alert.message
    assert f"--start {dates[0]} --end {dates[2]}" in raised.alert.what_to_do
    # The next pull sees what is left, and that nothing is.
    pull_account("America/New_York", 25)
    (raised,) = list_open_alerts(database, "ad account 1")
    assert f"--start {dates[0]} --end {dates[1]} --account 1" in raised.alert.what_to_do
    land(account, dates[:2], "third")
    pull_account("America/New_York", 26)
    assert list_open_alerts(database, "ad account 1") == []
    tables = ("insights_hourly", "insights_daily", "account_totals")
    for table in tables:
        assert query(f"select distinct timezone from raw.{table}") == [
            {"timezone": "America/New_York"}
        ]


def test_the_daily_refresh_reads_hours_of_another_timezone_again(
    database, query, pull_account, land
):
    """Their sums are those of the day: only the timezone tells that they are other hours."""
    land(pull_account("Europe/Berlin"), days(2), "first")
    land(pull_account("America/New_York", 24), [DAY], "second", refresh=REFRESH_RECENT)
    rows = query("select event_date, timezone, event_at from raw.insights_hourly order by 1")
    assert [row["timezone"] for row in rows] == ["America/New_York", "Europe/Berlin"]
    assert rows[0]["event_at"] == datetime(2026, 11, 10, 14, tzinfo=UTC)


def test_a_timezone_that_is_only_renamed_raises_nothing(database, pull_account, land):
    land(pull_account("Asia/Calcutta"), days(2), "first")
    pull_account("Asia/Kolkata", 24)
    assert [name for name, _ in timezones(database)] == ["Asia/Calcutta", "Asia/Kolkata"]
    assert list_open_alerts(database) == []

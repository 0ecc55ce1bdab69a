"""A day that Meta fails on: the account's other days are landed, and it alone is parked."""

from datetime import timedelta

import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.failures import EmptyAnswerError
from meta_ads_pipeline.raw.pull_insights import pull_insights
from tests.meta_api.insights_graph import DAY, InsightsGraph
from tests.meta_api.scripted_graph import ScriptedGraph, error
from tests.meta_api.test_failed_days import failing_on, span
from tests.raw.fake_reader import NO_PERMISSION, FakeReader, api_error
from tests.raw.insights_rows import ad_row
from tests.virtual_clock import VirtualClock

REFRESHED = [DAY - timedelta(days=back) for back in range(27, -1, -1)]
BAD = DAY - timedelta(days=10)
ILL = error(1, "An unknown error occurred", 500)
TIMED_OUT = error(100, "(#100) Invalid parameter", error_subcode=1487534)
INVALID = error(100, "(#100) Invalid parameter")
UNKNOWN = error(99999, "never heard of")


class TenAds(InsightsGraph):
    def __init__(self, graph):
        super().__init__(graph)
        self.ads = [(str(n // 4), str(n // 2), str(100 + n)) for n in range(10)]

    def rows(self, request):
        return [{**row, "impressions": "10", "clicks": "1"} for row in super().rows(request)]


@pytest.fixture
def insights():
    graph = ScriptedGraph()
    yield TenAds(graph)
    graph.close()


@pytest.fixture
def reader(insights):
    clock = VirtualClock()
    with MetaAdsClient(
        access_token="EAAtest", graph_url=insights.graph.url, clock=clock, sleep=clock.sleep
    ) as client:
        yield client


def slices_by_status(query, asset="insights_daily"):
    found = {}
    for row in query("select * from control.slices where asset = %s order by 1, 2, 3", asset):
        found.setdefault((row["status"], row["error_kind"]), set()).add(row["partition_date"])
    return found


def refresh(database, reader, account, number=1, dates=REFRESHED, asset="insights_daily"):
    context = PullContext(f"sync-{number}", f"run-{number}")
    return pull_insights(database, reader, account, asset, dates, context)


@pytest.mark.parametrize(
    ("reply", "status", "kind"),
    [
        (ILL, "parked", "transient"),
        (INVALID, "failed", "invalid"),
        (UNKNOWN, "failed", "invalid"),
        (TIMED_OUT, "parked", "too_much_data"),
    ],
    ids=["ill", "invalid", "unknown", "too_large"],
)
def test_a_refresh_lands_all_but_the_bad_day(
    database, insights, reader, account, query, reply, status, kind
):
    insights.refuse = failing_on(insights, [BAD], reply)
    with pytest.raises(MetaApiError) as caught:
        refresh(database, reader, account)
    assert caught.value.dates == (BAD,)
    assert slices_by_status(query) == {
        ("done", None): {*REFRESHED} - {BAD},
        (status, kind): {BAD},
    }
    assert query("select count(*) from raw.insights_daily") == [{"count": 270}]
    (slice_,) = query("select error_message from control.slices where status <> 'done'")
    assert str(BAD) in slice_["error_message"]
    assert len(insights.requests) <= 50
    insights.refuse = None
    insights.requests.clear()
    refresh(database, reader, account)  # the same sync again: what it lacks, and nothing else
    assert [span(each) for each in insights.requests] == [(BAD, BAD)]
    assert slices_by_status(query) == {("done", None): {*REFRESHED}}


def test_an_ad_too_large_for_one_day_leaves_that_day_as_it_was(
    database, insights, reader, account, query
):
    """The other ads of the day come: a slice with only those would not be the day."""
    refresh(database, reader, account)
    stored = query("select * from raw.insights_daily where event_date = %s order by ad_id", BAD)

    def refuse(request):
        since, until = span(request)
        heavy = any(ad == "105" for _, _, ad in insights._chosen(request))
        spend = "spend" in request.params["fields"]
        return TIMED_OUT if heavy and spend and since <= BAD <= until else None

    insights.refuse = refuse
    insights.ads.append(("9", "99", "999"))
    with pytest.raises(MetaApiError):
        refresh(database, reader, account, number=2)
    assert slices_by_status(query)["parked", "too_much_data"] == {BAD}
    assert (
        query("select * from raw.insights_daily where event_date = %s order by ad_id", BAD)
        == stored
    )
    new = query("select count(*) from raw.insights_daily where ad_id = '999'")
    assert new == [{"count": len(REFRESHED) - 1}]


def test_days_that_are_bad_for_other_reasons_say_so(database, insights, reader, account, query):
    ill, unknown = REFRESHED[20], REFRESHED[5]
    first = failing_on(insights, [ill], ILL)
    second = failing_on(insights, [unknown], UNKNOWN)
    insights.refuse = lambda request: first(request) or second(request)
    with pytest.raises(MetaApiError):
        refresh(database, reader, account)
    found = slices_by_status(query)
    assert found["parked", "transient"] == {ill}
    assert found["failed", "invalid"] == {unknown}


def test_a_bad_day_alone_in_its_window_does_not_cost_the_other_windows(
    database, insights, reader, account, query
):
    """What a run resumes has gaps: here the newest window is the bad day and nothing else."""
    insights.refuse = failing_on(insights, [BAD], INVALID)
    dates = [day for day in REFRESHED if day < BAD - timedelta(days=1)] + [BAD]
    with pytest.raises(MetaApiError):
        refresh(database, reader, account, dates=dates)
    assert slices_by_status(query) == {
        ("done", None): {*dates} - {BAD},
        ("failed", "invalid"): {BAD},
    }


def test_windows_that_all_fail_are_not_asked_one_by_one(database, insights, reader, account, query):
    insights.refuse = lambda request: UNKNOWN
    dates = REFRESHED[::2]
    with pytest.raises(MetaApiError):
        refresh(database, reader, account, dates=dates)
    assert slices_by_status(query) == {("failed", "invalid"): {*dates}}
    asked = list(dict.fromkeys(span(each)[0] for each in insights.requests))
    assert asked == [dates[-1], dates[-2], dates[0]]


def test_windows_that_fail_do_not_keep_older_ones_from_being_read(
    database, insights, reader, account, query
):
    dates = REFRESHED[::2]
    bad = {*dates[-3:]}
    insights.refuse = failing_on(insights, bad, UNKNOWN)
    with pytest.raises(MetaApiError):
        refresh(database, reader, account, dates=dates)
    assert slices_by_status(query) == {
        ("done", None): {*dates} - bad,
        ("failed", "invalid"): bad,
    }


def test_a_refused_account_is_left_at_once(database, account, query):
    reader = FakeReader()

    def fail(_):
        raise api_error(NO_PERMISSION)

    reader.before_part = fail
    with pytest.raises(MetaApiError) as caught:
        refresh(database, reader, account, dates=REFRESHED[::2])
    assert caught.value.kind is ErrorKind.PERMISSION
    assert len(reader.asked_windows) == 1


def test_an_emptied_day_is_told_apart_from_a_bad_one(database, insights, reader, account, query):
    refresh(database, reader, account)
    emptied = REFRESHED[3]
    rows = insights.rows
    bad = failing_on(insights, [BAD], ILL)
    insights.refuse = bad
    insights.rows = lambda request: [
        row for row in rows(request) if row["date_start"] != str(emptied)
    ]
    with pytest.raises(MetaApiError):
        refresh(database, reader, account, number=2)
    found = slices_by_status(query)
    assert found["parked", "transient"] == {BAD}
    assert found["parked", "empty_day"] == {emptied}


def test_of_several_emptied_days_each_says_so(database, account, query):
    reader = FakeReader()
    reader.insights = {day: [ad_row(1, day)] for day in REFRESHED}
    refresh(database, reader, account)
    emptied = {REFRESHED[3], REFRESHED[8]}
    reader.insights = {day: rows for day, rows in reader.insights.items() if day not in emptied}
    with pytest.raises(EmptyAnswerError):
        refresh(database, reader, account, number=2)
    rows = query("select * from control.slices where error_kind = 'empty_day'")
    assert {row["partition_date"] for row in rows} == emptied
    assert all(str(row["partition_date"]) in row["error_message"] for row in rows)

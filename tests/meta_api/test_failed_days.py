"""A day that fails costs itself: the others come, its error names it, and the calls stay few."""

import json
import pickle
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Any

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.insights_query import InsightsPart
from tests.meta_api.insights_graph import DAY, ONE_REPORT, InsightsGraph, done, posts, running
from tests.meta_api.scripted_graph import Reply, Request, error

DAYS = [DAY - timedelta(days=back) for back in range(28)]
ILL = error(1, "An unknown error occurred", 500)
TIMED_OUT = error(100, "(#100) Invalid parameter", error_subcode=1487534)
REFUSALS = {
    "invalid": error(100, "(#100) Invalid parameter"),
    "unknown": error(99999, "never heard of"),
    "permission": error(200, "(#200) not yours"),
}
MODES = pytest.mark.parametrize("limits", [PlanLimits(), ONE_REPORT], ids=["sync", "async"])
PLACES = pytest.mark.parametrize("back", [0, 10, 27], ids=["newest", "middle", "oldest"])


@pytest.fixture
def ten_ads(insights: InsightsGraph) -> InsightsGraph:
    insights.ads = [(str(n // 4), str(n // 2), str(100 + n)) for n in range(10)]
    return insights


def question(insights: InsightsGraph, request: Request) -> Request:
    """What a page of a report was asked with."""
    return request if "level" in request.params else insights.runs[request.path.split("/")[2]]


def span(request: Request) -> tuple[date, date]:
    named = request.json("time_range")
    return date.fromisoformat(named["since"]), date.fromisoformat(named["until"])


def failing_on(
    insights: InsightsGraph, days: Collection[date], reply: Reply
) -> Callable[[Request], Reply | None]:
    """Refuses whatever covers one of the days; a report is created and fails when it is read."""

    def refuse(request: Request) -> Reply | None:
        since, until = span(question(insights, request))
        bad = any(since <= day <= until for day in days)
        return reply if bad and request.method == "GET" else None

    return refuse


def read(
    client: MetaAdsClient, account: AccountRef, level: str = "ad", rows_per_day: float = 10
) -> tuple[list[InsightsPart], MetaApiError]:
    """The parts that came, and the error after them."""
    came: list[InsightsPart] = []
    parts = client.iter_insights(
        account, DAYS[-1], DAYS[0], level=level, grain="day", rows_per_day=rows_per_day
    )
    with pytest.raises(MetaApiError) as caught:
        came.extend(parts)
    return came, caught.value


def days_of(parts: list[InsightsPart]) -> list[date]:
    """The days that came whole; each once."""
    return sorted((day for part in parts for day in part.query.dates), reverse=True)


def others(*days: date) -> list[date]:
    return [day for day in DAYS if day not in days]


@PLACES
def test_a_bad_day_costs_itself(
    back: int,
    ten_ads: InsightsGraph,
    client: MetaAdsClient,
    account: AccountRef,
) -> None:
    bad = DAYS[back]
    ten_ads.refuse = failing_on(ten_ads, [bad], ILL)
    parts, failure = read(client, account)
    assert days_of(parts) == others(bad)
    rows = [row for part in parts for row in part.rows]
    truth = ten_ads.truth(DAYS[-1], DAYS[0], "ad", "day")
    assert len(rows) == len(truth) - 10
    assert failure.kind is ErrorKind.TRANSIENT
    assert failure.dates == (bad,)
    assert str(bad) in str(failure)
    assert len(ten_ads.requests) <= 50
    # It was no matter of size: when the day is well again, all is asked for at once.
    ten_ads.refuse = None
    ten_ads.requests.clear()
    list(client.iter_insights(account, DAYS[-1], DAYS[0], level="ad", grain="day"))
    assert len(ten_ads.requests) == 1


@MODES
@PLACES
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_day_costs_itself(
    refusal: str,
    back: int,
    limits: PlanLimits,
    ten_ads: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    bad = DAYS[back]
    client = make_client(plan_limits=limits)
    ten_ads.refuse = failing_on(ten_ads, [bad], REFUSALS[refusal])
    parts, failure = read(client, account)
    assert days_of(parts) == others(bad)
    assert failure.dates == (bad,)
    assert failure.code == REFUSALS[refusal].body["error"]["code"]
    assert failure.also == ()
    assert len(ten_ads.requests) <= 60


def test_a_report_refused_by_its_status_is_asked_by_halves(
    ten_ads: InsightsGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> None:
    bad = DAYS[10]
    client = make_client(plan_limits=ONE_REPORT)

    def status(run: str, looks: int) -> dict[str, Any]:
        since, until = span(ten_ads.runs[run])
        if not since <= bad <= until:
            return done(run)
        return {**running(run, 0, "Job Failed"), "error_code": 100, "error_message": "no"}

    ten_ads.status = status
    parts, failure = read(client, account)
    assert days_of(parts) == others(bad)
    assert failure.dates == (bad,)
    assert len(posts(ten_ads)) <= 12


@MODES
def test_several_bad_days_cost_themselves(
    limits: PlanLimits,
    ten_ads: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    """Two beside each other, one elsewhere that fails in another way: each has its own error."""
    twins, other = [DAYS[13], DAYS[14]], DAYS[20]
    client = make_client(plan_limits=limits)
    unknown = failing_on(ten_ads, twins, REFUSALS["unknown"])
    invalid = failing_on(ten_ads, [other], REFUSALS["invalid"])
    ten_ads.refuse = lambda request: unknown(request) or invalid(request)
    parts, failure = read(client, account)
    assert days_of(parts) == others(*twins, other)
    found = {day: each.code for each in (failure, *failure.also) for day in each.dates}
    assert found == dict.fromkeys(twins, 99999) | {other: 100}
    again = pickle.loads(pickle.dumps(failure))
    assert (again.dates, len(again.also)) == (failure.dates, len(failure.also))


@pytest.mark.parametrize("level", ["ad", "account"])
def test_a_day_too_large_even_for_spend_costs_itself(
    level: str, ten_ads: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    bad = DAYS[10]

    def refuse(request: Request) -> Reply | None:
        since, until = span(request)
        fields = request.params["fields"].split(",")
        heavy = any(ad == "105" for _, _, ad in ten_ads._chosen(request)) or level == "account"
        return TIMED_OUT if heavy and since <= bad <= until and "spend" in fields else None

    ten_ads.refuse = refuse
    parts, failure = read(client, account, level)
    whole = [part for part in parts if not part.query.only_ids]
    assert days_of(whole) == others(bad)
    assert {part.query.since for part in parts if part.query.only_ids} <= {bad}
    assert (failure.kind, failure.dates) == (ErrorKind.TOO_MUCH_DATA, (bad,))
    # The days after it are asked for as before: neither by objects nor by groups of fields.
    older = [each for each in ten_ads.requests if span(each)[1] < bad]
    assert all(json.loads(each.params.get("filtering", "[]"))[1:] == [] for each in older)
    assert len({each.params["fields"] for each in older}) == 1
    assert len(ten_ads.requests) <= 50


@MODES
@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_every_day_is_refused_for_takes_few_calls(
    refusal: str,
    limits: PlanLimits,
    ten_ads: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    client = make_client(plan_limits=limits)
    ten_ads.refuse = lambda request: REFUSALS[refusal]
    parts, failure = read(client, account)
    assert parts == []
    assert failure.dates in {(), tuple(reversed(DAYS))}
    assert len(ten_ads.requests) <= 10


def test_days_that_were_asked_apart_and_all_fail_take_few_calls(
    ten_ads: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    """Of an account that was too large, windows are single days: the second is not asked."""
    ten_ads.refuse = lambda request: TIMED_OUT if span(request)[0] != span(request)[1] else None
    list(client.iter_insights(account, DAYS[-1], DAYS[0], level="ad", grain="day", rows_per_day=10))
    ten_ads.requests.clear()
    ten_ads.refuse = lambda request: REFUSALS["unknown"]
    parts, failure = read(client, account)
    assert (parts, failure.dates) == ([], ())
    # The first windows are under way together.
    assert len(ten_ads.requests) <= 10 * 8


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(190, "dead", error_subcode=463), ErrorKind.AUTH),
        (error(2635, "switched off"), ErrorKind.INVALID),
        (Reply(reset=True), ErrorKind.TRANSIENT),
    ],
    ids=["token", "version", "network"],
)
def test_what_is_no_matter_of_days_ends_the_read_and_what_came_stays(
    reply: Reply,
    kind: ErrorKind,
    ten_ads: InsightsGraph,
    client: MetaAdsClient,
    account: AccountRef,
) -> None:
    def refuse(request: Request) -> Reply | None:
        since, until = span(request)
        if since != until and until == DAYS[0] and since < DAYS[6]:
            return TIMED_OUT
        return reply if until < DAYS[6] else None

    ten_ads.refuse = refuse
    parts, failure = read(client, account)
    assert days_of(parts) == DAYS[:7]
    assert (failure.kind, failure.dates) == (kind, ())
    assert sum(span(each)[1] < DAYS[6] for each in ten_ads.requests) <= 3


def test_many_failures_end_the_read(
    ten_ads: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    ten_ads.refuse = failing_on(ten_ads, DAYS[1::2], REFUSALS["unknown"])
    parts, failure = read(client, account)
    assert DAYS[0] in days_of(parts)
    assert failure.dates == ()
    assert len(failure.also) == 4
    assert len(ten_ads.requests) <= 120

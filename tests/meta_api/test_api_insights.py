"""Synchronous insights: the question, the check of the answer, and smaller questions."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import ListLimits, PlanLimits
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.meta_api.insights_query import InsightsQuery, check_rows
from tests.insights_reading import read_insights
from tests.meta_api.insights_graph import InsightsGraph
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, error, page

DAY = date(2026, 11, 20)
REDUCE = error(1, "Please reduce the amount of data you're asking for", 500)
TIMED_OUT = error(100, "(#100) Invalid parameter", error_subcode=1487534)


@pytest.mark.parametrize("level", ["ad", "adset", "campaign", "account"])
@pytest.mark.parametrize("grain", ["hour", "day"])
def test_one_day_is_exactly_that_day(
    level: str, grain: str, insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    result = read_insights(client, account, DAY, DAY, level=level, grain=grain)
    assert {(row["date_start"], row["date_stop"]) for row in result.rows} == {
        ("2026-11-20", "2026-11-20")
    }
    (request,) = insights.requests
    assert request.json("time_range") == {"since": "2026-11-20", "until": "2026-11-20"}
    assert request.params["time_increment"] == "1"
    assert request.params["limit"] == "1000"
    assert request.params["level"] == level
    fields = request.params["fields"].split(",")
    assert HOURLY_BREAKDOWN not in fields
    assert ("ad_id" in fields) == (level == "ad")
    if grain == "hour":
        assert request.json("breakdowns") == [HOURLY_BREAKDOWN]
        assert not {"reach", "frequency", "action_values", "cpp"} & set(fields)
        assert not any(name.startswith(("unique_", "video_")) for name in fields)
    else:
        assert "breakdowns" not in request.params
        assert {"reach", "frequency", "actions", "action_values"} <= set(fields)
        assert {"attribution_setting", "account_currency"} <= set(fields)
    if level == "account":
        assert "filtering" not in request.params
    else:
        (condition,) = request.json("filtering")
        assert condition["field"] == f"{level}.effective_status"
        assert {"ACTIVE", "ARCHIVED", "DELETED"} <= set(condition["value"])
    assert (result.calls, result.expected_calls, result.modes) == (1, 1, {"sync"})
    assert timedelta(0) <= datetime.now(UTC) - result.pulled_at < timedelta(minutes=1)


def test_a_range_is_whole_and_each_day_comes_once(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    start = DAY - timedelta(days=13)
    result = read_insights(client, account, start, DAY, level="ad", grain="hour", rows_per_day=48)
    assert sorted(map(str, result.rows)) == sorted(
        map(str, insights.truth(start, DAY, "ad", "hour"))
    )
    assert result.calls == 1


def test_a_day_without_delivery_is_empty_not_an_error(
    graph: ScriptedGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    graph.reply(page([]))
    assert read_insights(client, account, DAY, DAY, level="ad", grain="hour").rows == []


def test_large_synchronous_ranges_are_read_side_by_side(
    insights: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
    graph: ScriptedGraph,
) -> None:
    insights.delay = 0.05
    client = make_client(plan_limits=PlanLimits(page_size=50, pages_per_window=1))
    start = DAY - timedelta(days=11)
    result = read_insights(client, account, start, DAY, level="ad", grain="hour", rows_per_day=48)
    assert sorted(map(str, result.rows)) == sorted(
        map(str, insights.truth(start, DAY, "ad", "hour"))
    )
    assert graph.most_in_flight >= 3
    assert result.parts == 6
    assert result.calls <= result.expected_calls == 12


def test_parts_come_as_they_are_done_newest_first(
    insights: InsightsGraph, make_client: Callable[..., MetaAdsClient], account: AccountRef
) -> None:
    client = make_client(
        plan_limits=PlanLimits(page_size=48, pages_per_window=1), max_concurrency=1
    )
    start = DAY - timedelta(days=3)
    parts = list(
        client.iter_insights(account, start, DAY, level="ad", grain="hour", rows_per_day=48)
    )
    days = [part.query.since for part in parts]
    assert sorted(days) == [start + timedelta(days=each) for each in range(4)]
    for part in parts:
        assert {row["date_start"] for row in part.rows} == {part.query.since.isoformat()}


@pytest.mark.parametrize("failure", [REDUCE, TIMED_OUT])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_too_much_data_halves_the_dates_and_no_size_fails_twice(
    failure: Reply,
    most: int,
    insights: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    client = make_client()
    start = DAY - timedelta(days=15)
    failed: list[tuple[int, str]] = []

    def refuse(request: Request) -> Reply | None:
        span = request.json("time_range")
        days = (date.fromisoformat(span["until"]) - date.fromisoformat(span["since"])).days + 1
        if days <= most:
            return None
        failed.append((days, request.params["limit"]))
        return failure

    insights.refuse = refuse
    result = read_insights(client, account, start, DAY, level="ad", grain="day", rows_per_day=2)
    assert sorted(map(str, result.rows)) == sorted(
        map(str, insights.truth(start, DAY, "ad", "day"))
    )
    assert len(failed) == len(set(failed)), failed
    assert len(failed) <= 2 * 4
    before = len(failed)
    read_insights(client, account, start, DAY, level="ad", grain="day", rows_per_day=2)
    assert len(failed) == before


def test_a_smaller_page_is_enough_where_the_page_was_too_heavy(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    insights.refuse = lambda request: REDUCE if int(request.params["limit"]) > 500 else None
    start = DAY - timedelta(days=9)
    result = read_insights(client, account, start, DAY, level="ad", grain="day")
    assert result.calls == 2
    assert len(result.rows) == len(insights.truth(start, DAY, "ad", "day"))


@pytest.mark.parametrize("most", [1, 2])
def test_a_day_that_is_too_much_is_asked_by_its_objects(
    most: int, insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    """By campaigns, ad sets and ads, down to the single ad, and the rows are the same."""
    insights.ads = [("1", "11", "111"), ("1", "11", "112"), ("1", "12", "121"), ("2", "21", "211")]
    asked: list[str] = []

    def refuse(request: Request) -> Reply | None:
        if request.params["level"] != "ad" or request.params["fields"] == "ad_id":
            return None
        if insights.ad_count(request) <= most:
            return None
        key = request.params["filtering"] + request.params["time_range"]
        assert key not in asked
        asked.append(key)
        return TIMED_OUT

    insights.refuse = refuse
    result = read_insights(client, account, DAY, DAY, level="ad", grain="hour")
    assert sorted(map(str, result.rows)) == sorted(map(str, insights.truth(DAY, DAY, "ad", "hour")))


def outlined(insights: InsightsGraph, level: str, outline: Callable[[Request], Reply]) -> None:
    """Two ads of a day are too much; their list by this level is what ``outline`` answers."""

    def refuse(request: Request) -> Reply | None:
        if request.params["fields"] == f"{level}_id":
            return outline(request)
        too_much = request.params["level"] == "ad" and insights.ad_count(request) > 1
        return TIMED_OUT if too_much and "spend" in request.params["fields"] else None

    insights.ads = [("1", "11", "111"), ("1", "11", "112"), ("1", "12", "121")]
    if level == "campaign":
        insights.ads = [("1", "11", "111"), ("2", "21", "211"), ("3", "31", "311")]
    insights.refuse = refuse


@pytest.mark.parametrize("level", ["campaign", "adset", "ad"])
@pytest.mark.parametrize("odd", [None, "", 0, [], {"a": "1"}])
def test_an_outline_with_an_object_of_no_id_is_refused(
    level: str, odd: object, insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    """Without it that object would not be asked for, and would be taken for gone."""
    name = f"{level}_id"
    known = [{name: each} for each in ("11", "12")]
    for item in (odd, {name: odd}):
        outlined(insights, level, lambda _, item=item: page([*known, item]))
        with pytest.raises(MetaApiError, match=f"1 of 3 rows .* have no {name}") as caught:
            read_insights(client, account, DAY, DAY, level="ad", grain="hour")
        assert caught.value.kind is ErrorKind.TRANSIENT


@pytest.mark.parametrize("level", ["campaign", "adset"])
def test_an_outline_that_does_not_end_is_refused(
    level: str,
    insights: InsightsGraph,
    make_client: Callable[..., MetaAdsClient],
    account: AccountRef,
) -> None:
    """What lies behind the pages that came is unknown: it is no answer."""

    def outline(request: Request) -> Reply:
        number = int(request.params.get("after", 0))
        rows = [] if number else [{f"{level}_id": each} for each in ("11", "12")]
        return page(rows, str(number + 1), more=True)

    outlined(insights, level, outline)
    client = make_client(list_limits=ListLimits(empty_pages=3))
    with pytest.raises(MetaApiError, match="left after 3 empty pages in a row"):
        read_insights(client, account, DAY, DAY, level="ad", grain="hour")


def test_what_cannot_be_made_smaller_fails_as_too_much_data(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    insights.refuse = lambda request: TIMED_OUT
    with pytest.raises(MetaApiError) as caught:
        read_insights(client, account, DAY, DAY, level="account", grain="hour")
    assert caught.value.kind is ErrorKind.TOO_MUCH_DATA
    # All fields, then the one that rows mean nothing without.
    assert [len(each.params["fields"].split(",")) for each in insights.requests] == [6, 2]


@pytest.mark.parametrize(
    "refusal",
    [
        error(100, "(#100) Param filtering[0][value][11] must be one of {ACTIVE, PAUSED}"),
        error(100, "(#100) Invalid parameter", error_data={"blame_field_specs": [["filtering"]]}),
    ],
)
def test_a_refused_status_filter_is_left_out_for_that_account(
    refusal: Reply, insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    insights.refuse = lambda request: refusal if "filtering" in request.params else None
    for _ in range(2):
        result = read_insights(client, account, DAY, DAY, level="ad", grain="day")
        assert len(result.rows) == 2
    assert ["filtering" in each.params for each in insights.requests] == [True, True, False, False]


def test_a_refused_field_goes_alone_and_is_recorded(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    text = "(#100) frequency is not valid for fields param. please check https://x"

    def refuse(request: Request) -> Reply | None:
        return error(100, text) if "frequency" in request.params["fields"] else None

    insights.refuse = refuse
    result = read_insights(client, account, DAY, DAY, level="ad", grain="day")
    assert len(result.rows) == 2
    assert "frequency" in result.dropped_fields
    assert "reach" in insights.requests[-1].params["fields"]
    read_insights(client, account, DAY, DAY, level="account", grain="day")
    assert "frequency" in insights.requests[-2].params["fields"]  # another level, another memory


def test_days_folded_into_one_row_are_asked_day_by_day(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    insights.fold = True
    start = DAY - timedelta(days=3)
    result = read_insights(client, account, start, DAY, level="ad", grain="hour")
    assert sorted(map(str, result.rows)) == sorted(
        map(str, insights.truth(start, DAY, "ad", "hour"))
    )
    assert len(insights.requests) == 5
    read_insights(client, account, start, DAY, level="ad", grain="hour")
    assert len(insights.requests) == 9  # not tried again


@pytest.mark.parametrize(
    "row",
    [
        {"date_start": "2026-11-19", "date_stop": "2026-11-19"},
        {"date_start": "2026-11-21", "date_stop": "2026-11-21"},
        {"date_start": "2026-11-20", "date_stop": "2026-11-21"},
        {"date_start": "2026-11-20", "date_stop": "2026-11-20", HOURLY_BREAKDOWN: "00"},
    ],
)
def test_rows_that_do_not_fit_the_question_are_refused(
    row: dict, graph: ScriptedGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    graph.reply(page([row]))
    with pytest.raises(MetaApiError) as caught:
        read_insights(client, account, DAY, DAY, level="account", grain="day")
    assert caught.value.kind is ErrorKind.INVALID
    assert "2026-11-20" in str(caught.value) or "hour label" in str(caught.value)


def test_a_range_that_ends_before_it_starts(client: MetaAdsClient, account: AccountRef) -> None:
    with pytest.raises(ValueError, match="ends before it starts"):
        read_insights(client, account, DAY, DAY - timedelta(days=1), level="ad", grain="day")


@pytest.mark.parametrize("name", ["01", "02", "03", "06", "07", "15", "16"])
def test_observed_insights_are_parsed_without_loss(
    name: str, samples: Path, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    """Strings stay text, bare numbers stay exact: writing them again gives the same JSON."""
    raw = (samples / "insights" / f"{name}.json").read_text()
    graph.reply(Reply(raw.encode()))
    parsed = client.get_account("1")

    def plain(value: object) -> object:
        assert not isinstance(value, float)
        if isinstance(value, Decimal):
            return f"number {value}"
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else value

    assert plain(parsed) == json.loads(raw, parse_float=lambda text: f"number {text}")


def test_an_observed_hourly_row_passes_the_check(samples: Path) -> None:
    document = json.loads((samples / "insights" / "07.json").read_text())
    query = InsightsQuery("1", "campaign", "hour", date(2018, 6, 2), date(2018, 6, 2))
    check_rows(query, document["data"])
    report = json.loads((samples / "insights" / "03.json").read_text())["response"]["data"]
    check_rows(InsightsQuery("1", "account", "day", date(2021, 8, 7), date(2021, 8, 9)), report)
    lifetime = json.loads((samples / "insights" / "06.json").read_text())["data"]
    with pytest.raises(MetaApiError):
        check_rows(
            InsightsQuery("1", "adset", "day", date(2018, 10, 19), date(2019, 3, 22)), lifetime
        )

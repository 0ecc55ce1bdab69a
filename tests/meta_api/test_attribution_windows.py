"""Attribution windows: asked with a day's actions, dropped one by one where Meta refuses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from meta_ads_pipeline.attribution import LIVE_WINDOWS, chosen_windows
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.fields import WINDOWS_PARAMETER, refused_windows
from tests.insights_reading import read_insights
from tests.meta_api.insights_graph import DAY, ONE_REPORT, InsightsGraph, done, running
from tests.meta_api.memory_report_store import MemoryReportStore
from tests.meta_api.scripted_graph import Reply, Request, error

SENT = ("default", *LIVE_WINDOWS)
VALUES = "must be one of the following values: "
Maker = Callable[..., MetaAdsClient]


def asked(insights: InsightsGraph) -> list[list[str]]:
    """The windows of each question, [] where the parameter was left out."""
    questions = [each for each in insights.requests if "level" in each.params]
    return [json.loads(each.params.get(WINDOWS_PARAMETER, "[]")) for each in questions]


def refuse_window(name: str, message: str) -> Callable[[Request], Reply | None]:
    def refuse(request: Request) -> Reply | None:
        windows = json.loads(request.params.get(WINDOWS_PARAMETER, "[]"))
        return error(100, message) if name in windows else None

    return refuse


@pytest.mark.parametrize("level", ["ad", "account"])
def test_a_day_is_asked_by_the_setting_first_and_an_hour_by_nothing(
    level: str, insights: InsightsGraph, make_client: Maker, account: AccountRef
) -> None:
    client = make_client(attribution_windows=("1d_view", "7d_click"))
    read_insights(client, account, DAY, DAY, level=level, grain="day")
    read_insights(client, account, DAY, DAY, level=level, grain="hour")
    assert asked(insights) == [["default", "7d_click", "1d_view"], []]


def test_without_a_choice_none_are_asked(
    insights: InsightsGraph, client: MetaAdsClient, account: AccountRef
) -> None:
    read_insights(client, account, DAY, DAY, level="ad", grain="day")
    assert asked(insights) == [[]]


def test_a_refused_window_goes_alone_and_is_recorded(
    insights: InsightsGraph, make_client: Maker, account: AccountRef
) -> None:
    others = ", ".join(name for name in SENT if name != "28d_click")
    message = f"(#100) {WINDOWS_PARAMETER}[3] {VALUES}{others}, 7d_view"
    insights.refuse = refuse_window("28d_click", message)
    client = make_client(attribution_windows=LIVE_WINDOWS)
    kept = tuple(name for name in LIVE_WINDOWS if name != "28d_click")
    for _ in range(2):
        (part,) = client.iter_insights(account, DAY, DAY, level="ad", grain="day")
        assert part.query.attribution_windows == kept
        assert len(part.rows) == 2
    assert asked(insights) == [list(SENT), ["default", *kept], ["default", *kept]]
    assert set(client.dropped_fields["insights/ad/day"]) == {"28d_click"}


@pytest.mark.parametrize(
    ("message", "blamed", "gone"),
    [
        (f"{WINDOWS_PARAMETER}[0] {VALUES}default, 1d_click, 7d_click, 1d_view", [], "28d 1d_ev"),
        (f"Param {WINDOWS_PARAMETER}[5] must be one of {{default, 1d_view}}", [], "click 1d_ev"),
        (f"{WINDOWS_PARAMETER} 1d_ev is no longer available", [], "1d_ev"),
        ("The window 1d_ev cannot be combined with (actions)", [], "1d_ev"),
        (f"{WINDOWS_PARAMETER}[2] is not available", [], "7d_click"),
        ("Invalid parameter", [f"{WINDOWS_PARAMETER}[4]"], "1d_view"),
        ("Invalid parameter", [WINDOWS_PARAMETER], "default d_"),
        (f"For field 'insights': param {WINDOWS_PARAMETER} must be an array.", [], "default d_"),
        (f"{WINDOWS_PARAMETER}[0] {VALUES}1d_click, 7d_click", [], "default d_"),
        (f"{WINDOWS_PARAMETER}[9] is wrong", [], "default d_"),
        ("(#100) frequency is not valid for fields param", [], ""),
        ("(#100) filtering is bad", [], ""),
    ],
)
def test_which_windows_a_refusal_is_about(message: str, blamed: list[str], gone: str) -> None:
    data = {"error_data": {"blame_field_specs": [[each] for each in blamed]}}
    refusal = error_from_envelope({"code": 100, "message": f"(#100) {message}", **data})
    expected = [name for name in SENT if any(part in name for part in gone.split())]
    assert list(refused_windows(SENT, refusal)) == expected
    assert refused_windows((), refusal) == ()


def test_what_is_no_refusal_of_the_request_drops_nothing() -> None:
    busy = error_from_envelope({"code": 2, "message": f"{WINDOWS_PARAMETER} is busy"})
    assert refused_windows(SENT, busy) == ()


def test_when_meta_accepts_none_the_pull_goes_on_without(
    insights: InsightsGraph, make_client: Maker, account: AccountRef
) -> None:
    insights.refuse = refuse_window("default", f"(#100) param {WINDOWS_PARAMETER} is not allowed")
    client = make_client(attribution_windows=LIVE_WINDOWS)
    (part,) = client.iter_insights(account, DAY, DAY, level="ad", grain="day")
    assert part.query.attribution_windows == ()
    assert len(part.rows) == 2
    assert asked(insights) == [list(SENT), []]


def test_a_report_is_asked_without_what_is_refused_and_adopted_only_with_the_same_windows(
    insights: InsightsGraph, make_client: Maker, account: AccountRef
) -> None:
    insights.refuse = refuse_window("1d_ev", "(#100) window 1d_ev is gone")
    store = MemoryReportStore()
    start = DAY - timedelta(days=1)

    def read(*windows: str) -> tuple[str, ...]:
        client = make_client(
            attribution_windows=windows, plan_limits=ONE_REPORT, report_store=store
        )
        (part,) = client.iter_insights(account, start, DAY, level="ad", grain="day")
        return part.query.attribution_windows

    insights.status = lambda run, looks: error(190, "dead", error_subcode=463)
    with pytest.raises(MetaApiError):
        read("7d_click", "1d_ev")
    assert asked(insights) == [["default", "7d_click", "1d_ev"], ["default", "7d_click"]]
    insights.status = lambda run, looks: done(run)
    assert read("1d_click") == ("1d_click",)
    assert asked(insights)[2:] == [["default", "1d_click"]]
    assert read("7d_click") == ("7d_click",)
    assert len(asked(insights)) == 3  # the report of the first attempt was read


def test_a_report_that_fails_over_a_window_is_made_again_without_it(
    insights: InsightsGraph, make_client: Maker, account: AccountRef
) -> None:
    def status(run: str, looks: int) -> dict:
        if "1d_ev" not in insights.runs[run].params[WINDOWS_PARAMETER]:
            return done(run)
        failed = {"error_code": 100, "error_message": f"{WINDOWS_PARAMETER}: 1d_ev is gone"}
        return {**running(run, 0, "Job Failed"), **failed}

    insights.status = status
    client = make_client(attribution_windows=LIVE_WINDOWS, plan_limits=ONE_REPORT)
    start = DAY - timedelta(days=1)
    (part,) = client.iter_insights(account, start, DAY, level="ad", grain="day")
    assert part.query.attribution_windows == LIVE_WINDOWS[:-1]
    assert len(asked(insights)) == 2


def test_windows_are_chosen_by_name_in_one_order() -> None:
    assert chosen_windows(["1d_view", "default", "1d_click", "1d_view"]) == ("1d_click", "1d_view")
    assert chosen_windows([]) == ()
    with pytest.raises(ValueError, match="'7d_view' has had no data since January 2026"):
        chosen_windows(["7d_click", "7d_view"])
    with pytest.raises(ValueError, match="'2d_click' is not known: choose from 1d_click, 7d_"):
        MetaAdsClient(access_token="EAAx", attribution_windows=["2d_click"])

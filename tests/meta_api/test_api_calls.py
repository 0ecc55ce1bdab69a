"""What counts as an answer, what is tried again, how often and how patiently."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.config import RetryPolicy
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from tests.meta_api.scripted_graph import Reply, ScriptedGraph, error, page
from tests.virtual_clock import VirtualClock

OK = Reply({"id": "act_1"})
REDUCE = error(1, "Please reduce the amount of data you're asking for", 500)

TRANSIENT = [
    Reply(reset=True),
    Reply({"id": "act_1", "name": "x" * 500}, cut=200),
    Reply(b'{"id": "act_1", "na', 200),
    Reply(b"<html><body>Sorry</body></html>", 200, {"Content-Type": "text/html"}),
    Reply(b"<html>502</html>", 502),
    Reply(b"", 200),
    Reply(b"", 503),
    Reply(b"not here", 404),
    Reply({"x": 1}, 500),
    Reply("Service Unavailable", 200),
    Reply(b'{"spend": NaN}', 200),
    Reply(b"\xff\xfe{}", 200),
    error(1, "An unknown error occurred", 500),
    error(2, "(#2) Service temporarily unavailable", 400, is_transient=True),
    error(2, "(#2) Service temporarily unavailable", 200),
    error(960, "aborted", 400),
]  # fmt: skip


@pytest.mark.parametrize("failure", TRANSIENT)
def test_a_transient_failure_is_tried_again(
    failure: Reply, graph: ScriptedGraph, client: MetaAdsClient, clock: VirtualClock, calls: list
) -> None:
    graph.reply(failure, failure, OK)
    assert client.get_account("1") == {"id": "act_1"}
    assert [record.error_kind for record in calls] == ["transient", "transient", None]
    assert [record.attempt for record in calls] == [1, 2, 3]
    assert len(clock.sleeps) == 2
    assert clock.sleeps[0] <= 1
    assert clock.sleeps[1] <= 2


@pytest.mark.parametrize("failure", TRANSIENT)
def test_the_same_failure_three_times_ends_it(
    failure: Reply, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(failure, failure, failure, OK)
    with pytest.raises(MetaApiError) as caught:
        client.get_account("1")
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert len(graph.requests) == 3


def test_different_failures_are_counted_apart_up_to_a_total(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    mixed = [
        Reply(b"", 500),
        Reply(b"", 502),
        Reply(b"", 503),
        error(1, "x", 500),
        error(2, "y", 500),
    ]
    graph.reply(*mixed, OK)
    assert client.get_account("1") == {"id": "act_1"}
    graph.reply(*mixed, Reply(b"x", 200), OK)
    with pytest.raises(MetaApiError):
        client.get_account("1")
    assert list(graph.replies) == [OK]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (error(190, "expired", 400, error_subcode=463), ErrorKind.AUTH),
        (error(100, "Unsupported get request.", error_subcode=33), ErrorKind.PERMISSION),
        (error(2635, "old"), ErrorKind.INVALID),
        (Reply({}, 301, {"Location": "https://x/"}), ErrorKind.INVALID),
        (Reply({"message": "bad"}, 400), ErrorKind.INVALID),
    ],
)
def test_permanent_errors_cost_one_call(
    failure: Reply,
    kind: ErrorKind,
    graph: ScriptedGraph,
    client: MetaAdsClient,
    clock: VirtualClock,
) -> None:
    graph.reply(failure, OK)
    with pytest.raises(MetaApiError) as caught:
        client.get_account("1")
    assert caught.value.kind is kind
    assert len(graph.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (error(200, "no", 403), ErrorKind.PERMISSION),
        (error(10, "nicht erlaubt"), ErrorKind.PERMISSION),
        (error(100, "(#100) param x must be y"), ErrorKind.INVALID),
        (error(987654, "never heard of"), ErrorKind.INVALID),
    ],
)
def test_what_may_be_a_field_s_refusal_is_asked_once_more_with_the_least(
    failure: Reply, kind: ErrorKind, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(failure, failure, OK)
    with pytest.raises(MetaApiError) as caught:
        client.get_account("1")
    assert caught.value.kind is kind
    assert set(graph.requests[1].params["fields"].split(",")) == {
        *("id", "account_id", "name", "currency", "timezone_name")
    }
    assert len(graph.requests) == 2


def test_backoff_is_full_jitter_on_a_growing_bound(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient], clock: VirtualClock
) -> None:
    policy = RetryPolicy(same_failure=8, attempts=8, first_backoff=1, longest_backoff=10)
    client = make_client(retry_policy=policy)
    waits = []
    for _ in range(40):
        clock.sleeps.clear()
        graph.reply(*[Reply(b"", 500)] * 7, OK)
        client.get_account("1")
        waits.append(list(clock.sleeps))
    for number, bound in enumerate((1, 2, 4, 8, 10, 10, 10)):
        column = [each[number] for each in waits]
        assert max(column) <= bound
        assert max(column) > bound * 0.6  # spread over the whole span, not around its end
        assert min(column) < bound * 0.4


def test_a_limit_waits_as_long_as_meta_says(
    graph: ScriptedGraph, client: MetaAdsClient, clock: VirtualClock
) -> None:
    blocked = error(17, "limit", error_subcode=2446079)
    blocked.headers["X-Business-Use-Case-Usage"] = (
        '{"1":[{"type":"ads_management","call_count":101,"estimated_time_to_regain_access":40}]}'
    )
    graph.reply(blocked, OK)
    started = clock()
    client.get_account("1")
    assert clock() - started >= 40 * 60
    assert len(graph.requests) == 2


def test_waits_for_a_limit_are_bounded_in_total(
    graph: ScriptedGraph, client: MetaAdsClient, clock: VirtualClock
) -> None:
    blocked = error(80004, "limit")
    blocked.headers["X-Business-Use-Case-Usage"] = (
        '{"1":[{"type":"ads_management","estimated_time_to_regain_access":25}]}'
    )
    graph.reply(*[blocked] * 10)
    started = clock()
    with pytest.raises(MetaApiError) as caught:
        client.get_account("1")
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    assert caught.value.retry_after_seconds == 25 * 60
    assert len(graph.requests) == 3
    assert clock() - started <= 3600


def test_a_limit_without_a_hint_backs_off(
    graph: ScriptedGraph, client: MetaAdsClient, clock: VirtualClock
) -> None:
    graph.reply(*[error(4, "limit", 403)] * 4, OK)
    started = clock()
    assert client.get_account("1") == {"id": "act_1"}
    assert 0 < clock() - started <= 10 + 20 + 40 + 80


def test_numbers_are_exact_and_strings_stay_strings(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(
        Reply(b'{"a":"0.10","b":0.1,"c":0.35600030266344,"d":12,"e":90071992547409931,"f":1E-7}')
    )
    document = client.get_account("1")
    assert document == {
        "a": "0.10",
        "b": Decimal("0.1"),
        "c": Decimal("0.35600030266344"),
        "d": 12,
        "e": 90071992547409931,
        "f": Decimal("1E-7"),
    }
    assert all(not isinstance(value, float) for value in document.values())


def test_records_say_what_was_called(
    graph: ScriptedGraph, client: MetaAdsClient, calls: list
) -> None:
    answer = page([{"id": "5"}, {"id": "6"}])
    answer.headers["X-App-Usage"] = '{"call_count":28,"total_time":25,"total_cputime":25}'
    graph.reply(answer)
    client.get_ads("act_1")
    (record,) = calls
    assert (record.method, record.path, record.edge) == ("GET", "act_1/ads", "ads")
    assert (record.account_id, record.use_case, record.status) == ("1", "ads_management", 200)
    assert (record.rows, record.calls, record.error_kind) == (2, 1, None)
    assert record.usage.app_percent == 28
    assert 0 < record.duration_s < 5
    assert record.started_at.tzinfo is not None


def test_too_much_data_is_not_repeated_by_the_retry(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(REDUCE, OK)
    with pytest.raises(MetaApiError) as caught:
        client.get_account("1")
    assert caught.value.kind is ErrorKind.TOO_MUCH_DATA
    assert len(graph.requests) == 1


def test_an_answer_that_never_comes_is_a_timeout(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    client = make_client(timeout=(1, 0.2), retry_policy=RetryPolicy(same_failure=1))
    graph.reply(Reply({}, delay=1.0))
    with pytest.raises(MetaApiError, match=r"no response within 0\.2 s"):
        client.get_account("1")


def test_nothing_in_the_process_is_made_global(client: MetaAdsClient) -> None:
    import sys

    from facebook_business.api import FacebookAdsApi

    assert FacebookAdsApi.get_default_api() is None
    # FacebookAdsApi.init would report crashes to Meta. Other libraries' hooks are their own affair.
    assert not sys.excepthook.__module__.startswith("facebook_business")
    assert client.api_version == "v26.0"

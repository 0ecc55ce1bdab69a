"""Lists: every page, whatever the pages look like."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.paging import PageSizes, next_cursor
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph, error, page

BAD_CURSOR = error(2642, "(#2642) Invalid cursors values")
REDUCE = error(1, "Please reduce the amount of data you're asking for", 500)


def rows(*numbers: int) -> list[dict]:
    return [{"id": str(number)} for number in numbers]


def ids(found: list[dict]) -> list[int]:
    return [int(row["id"]) for row in found]


def test_short_and_empty_pages_do_not_end_a_list(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(
        page(rows(1, 2), "c1", more=True),
        page([], "c2", more=True),
        page(rows(3), "c3", more=True),
        page([], "c4", more=True),
        page(rows(4)),
    )
    assert ids(client.get_campaigns("1")) == [1, 2, 3, 4]
    assert [each.params.get("after") for each in graph.requests] == [None, "c1", "c2", "c3", "c4"]
    assert {each.path for each in graph.requests} == {"/v26.0/act_1/campaigns"}


def test_the_first_page_may_be_empty_and_last_has_cursors(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(page([], "c1", more=True), page(rows(7), "c2"))
    assert ids(client.get_ads("1")) == [7]


def test_a_list_without_paging_is_whole(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(Reply({"data": rows(1)}))
    assert ids(client.get_ads("1")) == [1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=8))
def test_any_shape_of_pages_gives_every_row_once(shape: list[list[int]]) -> None:
    graph = ScriptedGraph()
    try:
        for number, numbers in enumerate(shape, 1):
            graph.reply(page(rows(*numbers), f"c{number}", more=number < len(shape)))
        with MetaAdsClient(access_token="EAAx", graph_url=graph.url) as client:
            assert ids(client.get_ads("1")) == [each for numbers in shape for each in numbers]
        assert not graph.replies
    finally:
        graph.close()


def test_a_bad_cursor_restarts_the_list_without_doubling_rows(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(page(rows(1, 2), "c1", more=True), BAD_CURSOR)
    graph.reply(page(rows(1, 2), "d1", more=True), page(rows(3)))
    assert ids(client.get_ads("1")) == [1, 2, 3]
    assert [each.params.get("after") for each in graph.requests] == [None, "c1", None, "d1"]


def test_restarts_are_bounded(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(*[page(rows(1), "c1", more=True), BAD_CURSOR] * 10)
    with pytest.raises(MetaApiError, match="cursor"):
        client.get_ads("1")
    assert len(graph.requests) == 6


@pytest.mark.parametrize("loop", [["c1", "c1"], ["c1", "c2", "c3", "c2"]])
def test_a_repeating_cursor_ends_in_an_error_not_in_a_loop(
    loop: list[str], graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(*[page(rows(1), cursor, more=True) for cursor in loop] * 3)
    with pytest.raises(MetaApiError, match="same cursor came twice"):
        client.get_ads("1")
    assert not graph.replies


def test_the_next_url_is_never_followed(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    """Without `cursors` the cursor is taken out of `next`, whose host is ignored."""
    next_url = "http://127.0.0.1:9/v99.0/elsewhere?access_token=EAAleak&limit=2&after=c%3D1"
    graph.reply(Reply({"data": rows(1), "paging": {"next": next_url}}), page(rows(2)))
    assert ids(client.get_ads("1")) == [1, 2]
    assert graph.requests[1].params["after"] == "c=1"
    assert graph.requests[1].path == "/v26.0/act_1/ads"


def test_a_next_without_any_cursor_is_an_error() -> None:
    with pytest.raises(MetaApiError, match="no cursor"):
        next_cursor({"data": [], "paging": {"next": "https://x/?limit=1"}})
    assert next_cursor({"data": [], "paging": {"cursors": {"after": "x"}}}) is None


@pytest.mark.parametrize("body", [{"success": True}, {"data": {"id": 1}}, [1]])
def test_a_page_without_rows_is_no_empty_list(
    body: object, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(Reply(body))
    with pytest.raises(MetaApiError) as caught:
        client.get_ads("1")
    assert caught.value.kind is ErrorKind.TRANSIENT


def test_a_heavy_page_is_halved_from_where_it_stands(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    client = make_client(entity_page_size=200)
    graph.reply(page(rows(1), "c1", more=True), REDUCE, REDUCE, page(rows(2), "c2", more=True))
    graph.reply(page(rows(3)), page(rows(4)))
    assert ids(client.get_ads("1")) == [1, 2, 3]
    asked = [(each.params.get("after"), each.params["limit"]) for each in graph.requests]
    assert asked == [(None, "200"), ("c1", "200"), ("c1", "100"), ("c1", "50"), ("c2", "50")]
    client.get_ads("1")
    assert graph.requests[-1].params["limit"] == "50"


def test_no_failed_page_size_is_asked_again(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    def handle(request: Request) -> Reply:
        return REDUCE

    graph.handler = handle
    with pytest.raises(MetaApiError) as caught:
        client.get_ads("1")
    assert caught.value.kind is ErrorKind.TOO_MUCH_DATA
    limits = [int(each.params["limit"]) for each in graph.requests]
    assert limits[:9] == [500, 250, 125, 62, 31, 15, 7, 3, 1]
    assert set(limits[9:]) == {1}


def test_page_sizes_are_remembered_by_key() -> None:
    sizes = PageSizes()
    assert sizes.shrink("a", 100, 25)
    assert (sizes.limit("a", 100), sizes.limit("b", 100)) == (50, 100)
    assert sizes.shrink("a", 100, 25)  # another thread failed with the old size
    assert sizes.limit("a", 100) == 50
    assert not sizes.shrink("a", 25, 25)
    sizes.forget("a")
    assert sizes.limit("a", 100) == 100

"""Cursor paging over HTTP: complete, opaque, honest about what is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_graph_simulator.graph.paging import decode_cursor, encode_cursor


@given(st.text())
def test_cursors_decode_to_what_they_stand_for(key: str) -> None:
    assert decode_cursor(encode_cursor(key)) == key


def test_cursor_padding_is_spelt_like_metas() -> None:
    assert encode_cursor("0") == "MAZDZD"
    assert encode_cursor("24") == "MjQZD"


def test_every_page_size_gives_the_same_rows(graph: Any, account: str) -> None:
    whole = graph.data(f"{account}/ads", limit=5000)
    assert len(whole) > 10
    assert len({row["id"] for row in whole}) == len(whole)
    for limit in (1, 3, 7, len(whole), len(whole) + 1):
        assert graph.data(f"{account}/ads", limit=limit) == whole
    assert len(graph.ok(graph.get(f"{account}/ads"))["data"]) == min(25, len(whole))


def test_page_members(graph: Any, account: str) -> None:
    first = graph.ok(graph.get(f"{account}/ads", limit=2, fields="name"))
    paging = first["paging"]
    assert set(paging) == {"cursors", "next"}
    assert paging["next"].startswith(f"{graph.server.url}/v26.0/{account}/ads?access_token=")
    assert f"after={paging['cursors']['after']}" in paging["next"]
    second = graph.session.get(paging["next"]).json()
    assert set(second["data"][0]) == {"id", "name"}
    back = graph.session.get(second["paging"]["previous"]).json()
    assert back["data"] == first["data"]
    last = graph.ok(graph.get(f"{account}/ads", limit=5000))
    assert set(last["paging"]) == {"cursors"}


def test_links_do_not_carry_the_proof(graph: Any, account: str) -> None:
    page = graph.ok(graph.get(f"{account}/ads", limit=1, appsecret_proof="abc"))
    assert "appsecret_proof" not in page["paging"]["next"]


@pytest.mark.parametrize("path", ["{a}/ads", "{a}/insights", "me/adaccounts"])
@pytest.mark.parametrize("cursor", ["garbage!", "abcde", encode_cursor("no such thing")])
def test_bad_cursors(graph: Any, account: str, path: str, cursor: str) -> None:
    error = graph.error(graph.get(path.format(a=account), after=cursor))
    assert error["code"] == 2642
    assert error["message"] == "(#2642) Invalid cursors values"


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_bad_limits(graph: Any, account: str, limit: str) -> None:
    assert graph.error(graph.get(f"{account}/ads", limit=limit))["code"] == 100


def test_paging_goes_on_after_the_cursors_object_left_the_list(graph: Any, account: str) -> None:
    whole = [row["id"] for row in graph.data(f"{account}/ads", limit=5000)]
    first = graph.ok(graph.get(f"{account}/ads", limit=3))
    graph.control.delete_object(whole[2])
    rest = graph.data(f"{account}/ads", limit=3, after=first["paging"]["cursors"]["after"])
    assert [row["id"] for row in rest] == whole[3:]


def hourly(graph: Any, account: str, **more: Any) -> list[dict[str, Any]]:
    return graph.data(
        f"{account}/insights",
        level="ad",
        fields="ad_id,spend,impressions",
        breakdowns="hourly_stats_aggregated_by_advertiser_time_zone",
        time_increment="1",
        time_range={"since": "2026-11-15", "until": "2026-11-18"},
        **more,
    )


def test_insights_pages_are_complete_across_days(graph: Any, account: str) -> None:
    whole = hourly(graph, account, limit=5000)
    assert {row["date_start"] for row in whole} == {f"2026-11-{day}" for day in (15, 16, 17, 18)}
    for limit in (25, 100, 137, len(whole)):
        assert hourly(graph, account, limit=limit) == whole


def test_insights_previous_leads_back(graph: Any, account: str) -> None:
    params = {"level": "ad", "time_increment": "1", "limit": 4, "date_preset": "last_14d"}
    first = graph.ok(graph.get(f"{account}/insights", **params))
    second = graph.session.get(first["paging"]["next"]).json()
    assert graph.session.get(second["paging"]["previous"]).json()["data"] == first["data"]


@pytest.mark.parametrize("path", ["{a}/ads", "{a}/insights"])
def test_empty_and_short_pages_still_have_next(graph: Any, account: str, path: str) -> None:
    path = path.format(a=account)
    params = {"level": "ad", "time_increment": 1, "limit": 5}
    whole = graph.data(path, **params)
    assert len(whole) > 10
    graph.control.add_fault("empty_page", match={"path": path}, times=2)
    empty = graph.ok(graph.get(path, **params))
    assert empty["data"] == []
    again = graph.session.get(empty["paging"]["next"]).json()
    assert again["data"] == []
    assert again["paging"]["cursors"]["after"] != empty["paging"]["cursors"]["after"]
    rows, url = [], again["paging"]["next"]
    graph.control.add_fault("short_page", match={"path": path}, times=1, after=1, rows=2)
    sizes = []
    while url:
        page = graph.session.get(url).json()
        rows += page["data"]
        sizes.append(len(page["data"]))
        url = page["paging"].get("next")
    assert rows == whole
    assert sizes[:3] == [5, 2, 5]

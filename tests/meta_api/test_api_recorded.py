"""Pages that the API really sent, read through the client, against an independent extraction."""

import csv
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from meta_ads_pipeline.meta_api.calls import Call, CallCounter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.paging import ListReader, PageSizes
from tests.meta_api.scripted_graph import Reply, Request, ScriptedGraph

ACTION_LISTS = ("actions", "video_p95_watched_actions", "video_30_sec_watched_actions")


def test_recorded_ads_insights(
    recorded_pages: Path, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    """64 pages by cursor, many ads without delivery, rows exploded by action as in the CSV."""
    folder = recorded_pages / "adsinsights"
    pages: dict[str | None, dict] = {}
    for record in json.loads((folder / "responses.json").read_text()):
        document = record["response"]
        if "data" not in document:  # the first page was asked by `ids`, which keys it by account
            (document,) = document.values()
        cursor = parse_qs(urlsplit(record["url"]).query).get("after", [None])[0]
        pages[cursor] = document

    def handle(request: Request) -> Reply:
        return Reply(pages[request.params.get("after")])

    graph.handler = handle
    caller = client._entities.caller
    counter = CallCounter()
    ads = ListReader(caller, PageSizes(), "ads", 25).read(
        Call("GET", "act_1/ads", {"fields": "insights"}, "ads"), counter
    )
    assert counter.calls == len(pages)
    assert counter.failed == 0
    assert len(ads) == sum(len(document["data"]) for document in pages.values())

    found = sorted(
        (row["ad_id"], row["date_start"], name, action["action_type"], action["value"],
         row["clicks"], row["impressions"], row["reach"], row["spend"])
        for ad in ads
        for row in ad.get("insights", {}).get("data", [])
        for name in ACTION_LISTS
        for action in row.get(name, [])
    )  # fmt: skip
    with (folder / "expected_ads_insights.csv").open(newline="") as file:
        expected = sorted(
            (row["ad_id"], row["date_start"], row["ads_action_name"], row["action_type"],
             row["value"], row["clicks"], row["impressions"], row["reach"], row["spend"])
            for row in csv.DictReader(file)
        )  # fmt: skip
    assert len(expected) == 249
    assert found == expected

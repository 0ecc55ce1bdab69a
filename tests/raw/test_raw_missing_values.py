"""What could not be read this time is no news: the value that an earlier pull landed stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_graph_simulator.config import DEFAULT_TOKEN
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import DAY, ad_row

LIKES = [{"action_type": "like", "value": "3"}]


def test_a_field_that_meta_refuses_keeps_its_values_and_restates_nothing(
    database, client, simulator, query
):
    account = pull_ad_accounts(database, client, ctx=PullContext("sync-1", "run-1"))[0]
    today = simulator.control.now().astimezone(ZoneInfo(account.timezone)).date()
    old, new = [today - timedelta(days=3), today - timedelta(days=2)], today - timedelta(days=1)
    assets = ("insights_hourly", "insights_daily", "account_totals")
    for asset in assets:
        pull_insights(database, client, account, asset, old, PullContext("sync-1", "run-1"))

    def landed(asset, day):
        return query(
            f"select sum(spend) as spend, sum(clicks) as clicks from raw.{asset}"
            " where account_id = %s and event_date = %s",
            *(account.account_id, day),
        )[0]

    before = {asset: [landed(asset, day) for day in old] for asset in assets}
    simulator.control.add_fault("unfetchable_field", field="clicks")
    simulator.control.restate(account.account_id, old[:1], "1.5")
    with MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as another:
        for asset in assets:
            again = PullContext("sync-2", "run-2")
            pull_insights(database, another, account, asset, [*old, new], again)
    for asset in assets:
        (restated, same), (now_restated, now_same) = before[asset], [landed(asset, d) for d in old]
        assert now_same == same
        assert now_restated["spend"] > restated["spend"]
        assert now_restated["clicks"] == restated["clicks"] > 0
        assert landed(asset, new)["spend"] > 0
        assert landed(asset, new)["clicks"] is None
    changes = query("select distinct event_date, measure from raw.insights_changes")
    assert {row["event_date"] for row in changes} == {old[0]}
    assert "spend" in {row["measure"] for row in changes}
    assert "clicks" not in {row["measure"] for row in changes}


def odd_rows(day):
    """Dead letters, whatever is missing beside them."""
    return [ad_row(9, day, ad_id=odd) for odd in (["1201"], {"id": "1201"}, "12\x0001")] + ["row"]


@pytest.mark.parametrize("in_pieces", [True, False])
def test_what_cannot_be_had_for_one_ad_stays_there_and_nowhere_else(
    database, account, query, in_pieces
):
    class WithoutActionsOfTheFirst(FakeReader):
        def iter_insights(self, account, start, end, *, level, grain, **_):
            now = datetime.now(UTC)
            for ad, missing in ((1, frozenset({"actions"})), (2, frozenset())):
                only = {"only_level": "ad", "only_ids": (str(1200 + ad),)} if in_pieces else {}
                day = DAY if in_pieces else DAY + timedelta(days=ad - 1)
                piece = InsightsQuery("1", level, grain, day, day, **only)
                rows = [ad_row(ad, day, spend="20"), *odd_rows(day)]
                yield InsightsPart(piece, rows, now, "sync", missing=missing)

    dates = [DAY] if in_pieces else [DAY, DAY + timedelta(days=1)]
    first = FakeReader()
    first.insights = {
        day: [ad_row(ad, day, actions=LIKES) for ad in (1, 2) if in_pieces or day == dates[ad - 1]]
        for day in dates
    }
    for number, reader in enumerate((first, WithoutActionsOfTheFirst())):
        context = PullContext(f"sync-{number}", "run")
        pull_insights(database, reader, account, "insights_daily", dates, context)
    landed = query("select ad_id, spend, actions from raw.insights_daily order by ad_id")
    assert [(row["ad_id"], row["spend"], row["actions"]) for row in landed] == [
        ("1201", 20, LIKES),
        ("1202", 20, None),
    ]

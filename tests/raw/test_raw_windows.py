"""Attribution windows in raw: kept as sent, asked ones recorded, no restatement of their own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from meta_ads_pipeline.attribution import LIVE_WINDOWS
from meta_ads_pipeline.control.slices import Attempt
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_graph_simulator.config import DEFAULT_TOKEN
from tests.raw.fake_reader import FakeReader
from tests.raw.insights_rows import DAY, ad_row

DAILY = INSIGHTS_TABLES["insights_daily"]
PULLED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
WINDOWS = ("7d_click", "1d_view")


@pytest.fixture
def land(database, account):
    """Land rows of one day; a later call is a later pull."""
    pulls = iter(range(100))

    def land(rows, windows=WINDOWS):
        pulled_at = PULLED_AT + timedelta(hours=next(pulls))
        pulled = PulledRows(rows, [DAY], "v26.0", pulled_at, attribution_windows=windows)
        loaded = load_insights(database, account, DAILY, pulled, Attempt("sync-1", "run-1"))
        return loaded.counts[DAY]

    return land


def purchase(value="3", **windows):
    return ad_row(actions=[{"action_type": "omni_purchase", "value": value, **windows}])


def asked(query, asset="insights_daily"):
    return query(
        "select attribution_windows from control.slices where asset = %s order by partition_date",
        asset,
    )


def test_a_change_of_a_window_alone_updates_the_row_and_restates_nothing(land, query):
    land([purchase(**{"7d_click": "2"})])
    assert land([purchase(**{"7d_click": "2"})]).unchanged == 1
    assert land([purchase(**{"7d_click": "2", "1d_view": "1"})]).updated == 1
    assert query("select actions -> 0 ->> '1d_view' as viewed from raw.insights_daily") == [
        {"viewed": "1"}
    ]
    assert query("select * from raw.insights_changes") == []


def test_windows_switched_on_and_off_are_recorded_and_restate_nothing(land, query):
    rows = [purchase(), ad_row(2)]
    land(rows, windows=())
    assert asked(query) == [{"attribution_windows": []}]
    assert land([purchase(**{"7d_click": "3"}), ad_row(2)]).updated == 1
    assert asked(query) == [{"attribution_windows": list(WINDOWS)}]
    assert land(rows, windows=()).updated == 1
    assert asked(query) == [{"attribution_windows": []}]
    assert query("select * from raw.insights_changes") == []
    land([purchase("4", **{"7d_click": "3"}), ad_row(2)])
    assert query("select measure, old_value, new_value from raw.insights_changes") == [
        {"measure": "actions:omni_purchase", "old_value": "3", "new_value": "4"}
    ]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"value": "3", "7d_click": "2,5"}, "exact decimal number as 7d_click of like, got '2,5'"),
        ({"value": "3", "1d_ev": {}}, "exact decimal number as 1d_ev of like, got {}"),
        ({"value": "many"}, "exact decimal number as value of like, got 'many'"),
        ("like", "an action object, got 'like'"),
    ],
)
def test_what_cannot_be_counted_is_a_dead_letter_with_its_reason(item, reason, land, query):
    if isinstance(item, dict):
        item = {"action_type": "like", **item}
    assert land([purchase(), ad_row(2, action_values=[item])]).dead_lettered == 1
    (letter,) = query("select field, reason, document from control.dead_letters")
    assert letter["field"] == "action_values"
    assert reason in letter["reason"]
    assert letter["document"]["action_values"] == [item]
    assert len(query("select * from raw.insights_daily")) == 1


def test_a_window_refused_between_the_pieces_of_a_day_is_not_known_for_it(database, account, query):
    class InPieces(FakeReader):
        def iter_insights(self, account, start, end, *, level, grain, **_):
            for ad, windows in ((1, WINDOWS), (2, WINDOWS[:1])):
                only = {"only_level": "ad", "only_ids": (str(1200 + ad),)}
                piece = InsightsQuery(
                    "1", level, grain, DAY, DAY, **only, attribution_windows=windows
                )
                yield InsightsPart(piece, [ad_row(ad)], datetime.now(UTC), "sync")

    pull_insights(
        database, InPieces(), account, "insights_daily", [DAY], PullContext("sync", "run")
    )
    assert asked(query) == [{"attribution_windows": ["7d_click"]}]


def answer_of(simulator, account_id, day, level):
    """What the simulator says to a client that is not ours."""
    parameters = {
        "access_token": DEFAULT_TOKEN,
        "level": level,
        "fields": "ad_id,actions,action_values",
        "time_range": json.dumps({"since": str(day), "until": str(day)}),
        "time_increment": 1,
        "action_attribution_windows": json.dumps(["default", *LIVE_WINDOWS]),
        "filtering": "[]",
        "limit": 500,
    }
    url = f"{simulator.url}/v26.0/act_{account_id}/insights?{urlencode(parameters)}"
    with urlopen(url) as answer:
        return json.load(answer)["data"]


def test_what_the_simulator_says_of_each_window_lands_exactly(database, simulator, query):
    client = MetaAdsClient(
        access_token=DEFAULT_TOKEN, graph_url=simulator.url, attribution_windows=LIVE_WINDOWS
    )
    context = PullContext("sync-1", "run-1")
    with client:
        account = pull_ad_accounts(database, client, ctx=context)[0]
        day = simulator.control.now().date() - timedelta(days=3)
        for asset in ("insights_hourly", "insights_daily", "account_totals"):
            pull_insights(database, client, account, asset, [day], context)
    sums = {}
    for asset, level in (("insights_daily", "ad"), ("account_totals", "account")):
        said = answer_of(simulator, account.account_id, day, level)
        fields = "actions, action_values" + (", ad_id" if level == "ad" else "")
        landed = query(f"select {fields} from raw.{asset} order by pulled_at")
        assert landed
        by_ad = {row.get("ad_id"): row for row in landed}
        for row in said:
            mine = by_ad.get(row.get("ad_id"))
            assert mine is not None
            for field in ("actions", "action_values"):
                assert mine[field] == row.get(field)
        sums[level] = query(
            "select item ->> 'action_type' as name, sum((item ->> 'value')::numeric) as value, "
            + ", ".join(f"sum((item ->> '{name}')::numeric) as w{name}" for name in LIVE_WINDOWS)
            + f" from raw.{asset}, jsonb_array_elements(action_values) as item"
            " group by 1 order by 1"
        )
        assert asked(query, asset) == [{"attribution_windows": list(LIVE_WINDOWS)}]
    assert asked(query, "insights_hourly") == [{"attribution_windows": []}]
    assert sums["ad"] == sums["account"]
    total = {name: sum(row[f"w{name}"] or 0 for row in sums["ad"]) for name in LIVE_WINDOWS}
    assert 0 < total["1d_view"] < total["1d_click"] < total["28d_click"]

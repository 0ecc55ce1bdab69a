"""The real client and the real simulator: what lands is the simulator's truth, to the cent."""

from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.run_tags import REFRESH_ALL_ENTITIES
from meta_graph_simulator.config import DEFAULT_TOKEN

CONTEXT = PullContext(sync_id="sync-1", run_id="run-1")


@pytest.fixture
def landed_accounts(database, client):
    return pull_ad_accounts(database, client, ctx=CONTEXT)


def simulated_dates(simulator, account, count=3):
    """The last whole days of the account, on the simulator's clock."""
    today = simulator.control.now().astimezone(ZoneInfo(account.timezone)).date()
    return [today - timedelta(days=back) for back in range(count, 0, -1)]


def test_the_simulator_s_account_lands_to_the_cent_in_all_three_pulls(
    database, client, simulator, landed_accounts, query
):
    assert {account.currency for account in landed_accounts} == {"USD", "EUR", "JPY"}
    for account in landed_accounts:
        dates = simulated_dates(simulator, account)
        truth = simulator.control.truth(account.account_id, dates[0], dates[-1])
        spend = sum(Decimal(row["spend"]) for row in truth)
        impressions = sum(int(row["impressions"]) for row in truth)
        assert spend > 0
        for asset in ("insights_hourly", "insights_daily", "account_totals"):
            pull_insights(database, client, account, asset, dates, CONTEXT)
            assert query(
                f"select sum(spend) as spend, sum(impressions) as impressions from raw.{asset}"
                " where account_id = %s",
                account.account_id,
            ) == [{"spend": spend, "impressions": impressions}]


def test_a_restated_day_of_the_simulator_lands_with_old_and_new(
    database, client, simulator, landed_accounts, query
):
    account = landed_accounts[0]
    dates = simulated_dates(simulator, account)
    pull_insights(database, client, account, "insights_daily", dates, CONTEXT)
    simulator.control.restate(account.account_id, dates[:1], "1.5")
    reports = pull_insights(
        database, client, account, "insights_daily", dates, PullContext("sync-2", "run-2")
    )
    assert reports[0].updated > 0
    assert [report.updated for report in reports[1:]] == [0, 0]
    truth = simulator.control.truth(account.account_id, dates[0], dates[0])
    assert query("select sum(spend) from raw.insights_daily where event_date = %s", dates[0]) == [
        {"sum": sum(Decimal(row["spend"]) for row in truth)}
    ]
    assert query(
        "select distinct event_date from raw.insights_changes where measure = 'spend'"
        " and old_value::numeric < new_value::numeric"
    ) == [{"event_date": dates[0]}]


def test_a_vanished_ad_of_the_simulator_is_removed(
    database, client, simulator, landed_accounts, query
):
    account = landed_accounts[0]
    dates = simulated_dates(simulator, account, count=1)
    pull_insights(database, client, account, "insights_hourly", dates, CONTEXT)
    ad_id = query("select min(ad_id) as ad_id from raw.insights_hourly")[0]["ad_id"]
    simulator.control.vanish(account.account_id, dates, ad_id=ad_id)
    (report,) = pull_insights(
        database, client, account, "insights_hourly", dates, PullContext("sync-2", "run-2")
    )
    assert report.deleted > 0
    assert query("select * from raw.insights_hourly where ad_id = %s", ad_id) == []


def test_the_simulator_s_facts_all_have_their_entities(
    database, client, simulator, landed_accounts, query
):
    account = landed_accounts[0]
    today = simulator.control.now().date()
    dates = [today - timedelta(days=back) for back in (3, 2, 1)]
    context = PullContext("sync", "run")
    pull_insights(database, client, account, "insights_daily", dates, context)
    doomed = query("select min(ad_id) as first, max(ad_id) as last from raw.insights_daily")[0]
    simulator.control.delete_object(doomed["first"])
    simulator.control.delete_object(doomed["last"], purge=True)
    for kind in ("ad", "adset", "campaign", "creative"):
        pull_entities(database, client, account, kind, dates, context)
    for child, parent in (("ad", "ads"), ("adset", "adsets"), ("campaign", "campaigns")):
        assert (
            query(
                f"select {child}_id from raw.insights_daily"
                f" where {child}_id not in (select id from raw.{parent})"
            )
            == []
        )
    gone = query(
        "select id, name is not null as has_name from raw.ads where is_deleted and id = any(%s)",
        [doomed["first"], doomed["last"]],
    )
    assert {row["id"]: row["has_name"] for row in gone} == {
        doomed["first"]: True,
        doomed["last"]: False,
    }
    # The weekly read asks for deleted ones, too; of one that is gone nothing is said again.
    query("update raw.ads set name = 'old', pulled_at = pulled_at - interval '8 days',"
          " document_hash = 'old' where id = %s returning id", doomed["first"])  # fmt: skip
    query("delete from control.dead_letters returning 1")
    weekly = PullContext("weekly", "run", refresh=REFRESH_ALL_ENTITIES)
    pull_entities(database, client, account, "ad", dates[-1:], weekly)
    (read,) = query("select name, is_deleted from raw.ads where id = %s", doomed["first"])
    assert read["name"] != "old"
    assert read["is_deleted"]
    assert query("select * from control.dead_letters") == []


def test_a_broken_creative_costs_the_calls_of_its_page_once(
    database, client, simulator, landed_accounts, query
):
    account = landed_accounts[0]
    dates = simulated_dates(simulator, account, count=1)
    ids = [row["id"] for row in client.get_creatives(account.account_id)]
    simulator.control.add_fault("unreadable_object", id=ids[9], fields=["object_story_spec"])

    def calls(sync_id, refresh=None):
        simulator.control.reset("stats")
        context = PullContext(sync_id, "run", refresh=refresh)
        pull_entities(database, client, account, "creative", dates, context)
        return simulator.control.stats()["calls"]

    stories = "select id, document->'object_story_spec' as story from raw.creatives order by id"
    letters = "select object_id, field, status from control.dead_letters"
    letter = {"object_id": ids[9], "field": "object_story_spec"}
    assert calls("first") > 50
    first = query(stories)
    assert [row["story"] for row in first if row["id"] == ids[9]] == [None]
    assert len([row for row in first if row["story"] is not None]) > 50

    assert calls("second") == 1
    assert query(stories) == first
    assert query(letters) == [letter | {"status": "open"}]

    query("update raw.creatives set document = document || '{\"name\": \"old\"}' where id = %s"
          " returning id", ids[3])  # fmt: skip
    assert calls("third") == 2, "what has changed is read by id"
    assert query(stories) == first

    simulator.control.clear_faults()
    assert calls("weekly", REFRESH_ALL_ENTITIES) == 1, "there nobody is taken for broken"
    assert query(letters) == [letter | {"status": "resolved"}]
    assert [row["id"] for row in query(stories) if row["story"] is not None and row not in first]


@pytest.mark.parametrize(("kind", "field"), [("campaign", "objective"), ("creative", "body")])
def test_a_connection_that_reads_less_makes_no_new_versions(
    database, client, simulator, landed_accounts, query, kind, field
):
    """One campaign, for which it is the object's field; many creatives, where the account's."""
    account = landed_accounts[0]
    dates = simulated_dates(simulator, account, count=1)
    pull_entities(database, client, account, kind, dates, PullContext("first", "run"))
    landed = f"select id, document from raw.{kind}s order by id"
    versions = "select count(*) as n from raw.entity_versions"
    before = query(landed), query(versions)
    assert any(field in row["document"] for row in before[0])

    def rows(reader):
        read = reader.get_campaigns if kind == "campaign" else reader.get_creatives
        return read(account.account_id)

    simulator.control.add_fault("missing_permission", fields=[field], code=200)
    with MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as other:
        assert not any(field in row for row in rows(other))
        pull_entities(database, other, account, kind, dates, PullContext("second", "run"))
    assert (query(landed), query(versions)) == before

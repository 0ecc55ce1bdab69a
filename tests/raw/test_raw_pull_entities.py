"""Pulling entities: lists, what they omit, versions, who is missing and who is gone."""

from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.run_tags import REFRESH_RECENT, REFRESH_TODAY
from tests.raw.fake_reader import (
    NO_PERMISSION,
    TRANSIENT,
    FakeReader,
    api_error,
)
from tests.raw.insights_rows import DAY, ad_row, days

START = datetime(2026, 11, 20, tzinfo=UTC)


def ad(number, **members):
    return {
        "id": str(1200 + number),
        "account_id": "1",
        "campaign_id": "11",
        "adset_id": "21",
        "name": f"Ad {number}",
        "status": "ACTIVE",
        "effective_status": "ACTIVE",
        "creative": {"id": str(500 + number)},
        **members,
    }


@pytest.fixture
def reader():
    return FakeReader()


@pytest.fixture
def pull(database, reader, account):
    """Pull one kind under a sync of its own, an hour after the last."""
    pulls = iter(range(1, 1000))

    def pull(kind="ad", dates=(DAY,), refresh=None):
        number = next(pulls)
        now = START + timedelta(hours=number)
        context = PullContext(f"sync-{number}", f"run-{number}", now=lambda: now, refresh=refresh)
        return pull_entities(database, reader, account, kind, list(dates), context)

    return pull


@pytest.fixture
def ads(query):
    def ads():
        return {row["id"]: row for row in query("select * from raw.ads")}

    return ads


def counts(report):
    return report.inserted, report.updated, report.deleted, report.unchanged


def versions(query, entity_id):
    rows = query(
        "select document ->> 'name' as name from raw.entity_versions"
        " where level = 'ad' and entity_id = %s order by valid_from",
        entity_id,
    )
    return [row["name"] for row in rows]


def test_a_first_list_is_inserted_with_a_version_each(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1), ad(2)]
    (report,) = pull()
    assert counts(report) == (2, 0, 0, 0)
    row = ads()["1201"]
    assert (row["name"], row["campaign_id"], row["creative_id"]) == ("Ad 1", "11", "501")
    assert (row["is_deleted"], row["missing_since"]) == (False, None)
    assert row["document"] == ad(1)
    assert versions(query, "1201") == ["Ad 1"]


def test_the_same_list_again_touches_nothing(reader, pull, query):
    reader.lists["ad"] = [ad(1), ad(2)]
    pull()
    checksum = "select md5(string_agg(a::text || a.xmin, '|' order by id)) as md5 from raw.ads as a"
    before = query(checksum)
    (report,) = pull()
    assert counts(report) == (0, 0, 0, 2)
    assert query(checksum) == before
    assert query("select count(*) from raw.entity_versions") == [{"count": 2}]


def test_a_change_is_a_new_version_and_the_current_state(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1), ad(2)]
    pull()
    reader.lists["ad"] = [ad(1, name="Renamed"), ad(2)]
    (report,) = pull()
    assert counts(report) == (0, 1, 0, 1)
    assert versions(query, "1201") == ["Ad 1", "Renamed"]
    row = ads()["1201"]
    assert (row["name"], row["first_seen_at"], row["changed_at"]) == (
        "Renamed",
        START + timedelta(hours=1),
        START + timedelta(hours=2),
    )
    assert ads()["1202"]["changed_at"] == START + timedelta(hours=1)


def test_what_changes_by_itself_is_kept_current_without_a_version(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1, thumbnail_url="https://x.fbcdn.net/a.png?sig=1")]
    pull()
    reader.lists["ad"] = [ad(1, thumbnail_url="https://x.fbcdn.net/a.png?sig=2")]
    (report,) = pull()
    assert counts(report) == (0, 0, 0, 1)
    assert ads()["1201"]["document"]["thumbnail_url"].endswith("sig=2")
    assert ads()["1201"]["changed_at"] == START + timedelta(hours=1)
    assert versions(query, "1201") == ["Ad 1"]


def test_one_that_no_longer_appears_is_missing_but_not_deleted(reader, pull, ads):
    reader.lists["ad"] = [ad(1), ad(2)]
    pull()
    reader.lists["ad"], reader.nodes["1202"] = [ad(1)], ad(2)
    (report,) = pull()
    assert reader.asked_ids == [["1202"]]
    assert counts(report) == (0, 1, 0, 1)
    row = ads()["1202"]
    assert (row["is_deleted"], row["missing_since"]) == (False, START + timedelta(hours=2))
    # Still so at the next pull, since when is kept.
    (report,) = pull()
    assert counts(report) == (0, 0, 0, 2)
    assert ads()["1202"]["missing_since"] == START + timedelta(hours=2)


def test_one_that_reappears_is_missing_no_more(reader, pull, ads):
    reader.lists["ad"], reader.nodes["1201"] = [ad(1)], ad(1)
    pull()
    reader.lists["ad"] = []
    pull()
    reader.lists["ad"] = [ad(1)]
    (report,) = pull()
    assert counts(report) == (0, 1, 0, 0)
    assert ads()["1201"]["missing_since"] is None


def test_a_read_by_id_that_says_deleted_deletes(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1)]
    pull()
    reader.lists["ad"] = []
    reader.nodes["1201"] = ad(1, status="DELETED", effective_status="DELETED")
    (report,) = pull()
    assert counts(report) == (0, 0, 1, 0)
    row = ads()["1201"]
    assert (row["is_deleted"], row["name"], row["status"]) == (True, "Ad 1", "DELETED")
    assert row["missing_since"] == START + timedelta(hours=2)
    assert len(versions(query, "1201")) == 2
    # Deleted is for good: it is not read again.
    pull()
    assert reader.asked_ids == [["1201"]]


def test_a_read_by_id_that_finds_nothing_deletes_but_keeps_name_and_history(
    reader, pull, ads, query
):
    reader.lists["ad"] = [ad(1)]
    pull()
    reader.lists["ad"] = []
    (report,) = pull()
    assert report.deleted == 1
    row = ads()["1201"]
    assert (row["is_deleted"], row["name"], row["campaign_id"]) == (True, "Ad 1", "11")
    assert versions(query, "1201") == ["Ad 1"]


@pytest.fixture
def facts(database, reader, account):
    """Facts of DAY about ads 1 and 2."""
    reader.insights = {DAY: [ad_row(1), ad_row(2)]}
    context = PullContext("facts", "facts")
    pull_insights(database, reader, account, "insights_daily", [DAY], context)


@pytest.mark.usefixtures("facts")
def test_what_facts_refer_to_and_the_list_omits_is_read_by_id(reader, pull, ads):
    reader.lists["ad"] = [ad(1)]
    reader.nodes["1202"] = ad(2, status="ARCHIVED")
    (report,) = pull()
    assert reader.asked_ids == [["1202"]]
    assert counts(report) == (2, 0, 0, 0)
    assert ads()["1202"]["status"] == "ARCHIVED"


@pytest.mark.usefixtures("facts")
def test_what_facts_refer_to_and_nobody_can_read_still_has_a_row(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1)]
    (report,) = pull()
    assert (report.inserted, report.dead_lettered) == (2, 1)
    row = ads()["1202"]
    assert (row["is_deleted"], row["name"]) == (True, None)
    assert (row["campaign_id"], row["adset_id"]) == ("11", "21")
    (letter,) = query("select object_id, asset, reason from control.dead_letters")
    assert (letter["object_id"], letter["asset"]) == ("1202", "ads")
    pull()
    assert reader.asked_ids == [["1202"]]


@pytest.mark.usefixtures("facts")
def test_one_without_permission_is_a_dead_letter_and_stays_alive(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1), ad(2)]
    pull()
    reader.lists["ad"] = [ad(1)]
    reader.node_errors["1202"] = api_error(NO_PERMISSION)
    (report,) = pull()
    assert report.dead_lettered == 1
    assert ads()["1202"]["is_deleted"] is False
    assert query("select status from control.slices where asset = 'ads'") == [{"status": "done"}]


@pytest.mark.usefixtures("facts")
def test_a_passing_failure_by_id_fails_the_slice_but_keeps_what_was_read(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1)]
    reader.node_errors["1202"] = api_error(TRANSIENT)
    with pytest.raises(MetaApiError):
        pull()
    assert set(ads()) == {"1201"}
    assert query("select status, error_kind from control.slices where asset = 'ads'") == [
        {"status": "parked", "error_kind": "transient"}
    ]


def test_parents_are_read_by_id_for_their_children(reader, pull, query):
    reader.lists["ad"] = [ad(1, adset_id="29", campaign_id="19")]
    reader.nodes = {
        "29": {"id": "29", "campaign_id": "19", "name": "Gone set", "status": "DELETED"},
        "19": {"id": "19", "name": "Gone campaign", "status": "DELETED"},
        "501": {"id": "501", "name": "Creative"},
    }
    for kind in ("ad", "adset", "campaign", "creative"):
        pull(kind)
    assert reader.asked_ids == [["29"], ["19"], ["501"]]
    assert query("select id, is_deleted from raw.adsets") == [{"id": "29", "is_deleted": True}]
    assert query("select id, is_deleted from raw.campaigns") == [{"id": "19", "is_deleted": True}]
    assert query("select id, is_deleted from raw.creatives") == [{"id": "501", "is_deleted": False}]


def test_a_bad_document_is_a_dead_letter(reader, pull, ads, query):
    reader.lists["ad"] = [ad(1), ad(2, adset_id=None)]
    (report,) = pull()
    assert report.dead_lettered == 1
    assert set(ads()) == {"1201"}
    (letter,) = query("select object_id, field, document from control.dead_letters")
    assert letter == {"object_id": "1202", "field": "adset_id", "document": ad(2, adset_id=None)}


def test_odd_text_is_stored(reader, pull, ads):
    reader.lists["ad"] = [ad(1, name="tab\tnew\nline \\N \0 \ud800 \N{GRINNING FACE}")]
    pull()
    assert ads()["1201"]["name"] == "tab\tnew\nline \\N \ufffd \ufffd \N{GRINNING FACE}"


def test_all_dates_share_one_read_and_the_newest_has_the_counts(reader, pull, query):
    reader.lists["ad"] = [ad(1), ad(2)]
    reports = pull(dates=days(3))
    assert [counts(report) for report in reports] == [(0, 0, 0, 0)] * 2 + [(2, 0, 0, 0)]
    assert reader.list_calls == 1
    assert query("select count(*) from control.slices where status = 'done'") == [{"count": 3}]


def test_dates_done_under_the_sync_cost_nothing(database, reader, account):
    context = PullContext("sync-1", "run-1")
    reader.lists["ad"] = [ad(1)]
    pull_entities(database, reader, account, "ad", days(2), context)
    reports = pull_entities(database, reader, account, "ad", days(2), context)
    assert reader.list_calls == 1
    assert all(report.skipped for report in reports)


def test_what_facts_name_that_came_after_the_list_is_read_by_id_alone(
    database, reader, account, ads
):
    context = PullContext("sync-1", "run-1")
    reader.lists["ad"] = [ad(1)]
    pull_entities(database, reader, account, "ad", [DAY], context)
    reader.insights = {DAY: [ad_row(1), ad_row(2)]}
    pull_insights(database, reader, account, "insights_daily", [DAY], context)
    reader.nodes["1202"] = ad(2, status="DELETED")
    (report,) = pull_entities(database, reader, account, "ad", [DAY], context)
    assert (reader.list_calls, reader.asked_ids) == (1, [["1202"]])
    assert counts(report) == (1, 0, 0, 0)
    assert ads()["1201"]["missing_since"] is None
    (again,) = pull_entities(database, reader, account, "ad", [DAY], context)
    assert again.skipped


@pytest.mark.usefixtures("facts")
def test_a_pull_is_one_attempt(database, reader, account, query):
    reader.list_error = api_error(TRANSIENT)
    with pytest.raises(MetaApiError):
        pull_entities(database, reader, account, "ad", [DAY], PullContext("s", "r"))
    assert query("select attempts from control.slices where asset = 'ads'") == [{"attempts": 1}]


def test_a_list_that_fails_is_on_the_slices(database, reader, account, query):
    reader.list_error = api_error(NO_PERMISSION)
    with pytest.raises(MetaApiError):
        pull_entities(database, reader, account, "ad", days(2), PullContext("s", "r"))
    assert query("select distinct status, error_kind from control.slices") == [
        {"status": "failed", "error_kind": "permission"}
    ]


@pytest.mark.usefixtures("facts")
def test_calls_are_shared_over_the_dates_of_the_pull(reader, pull, query):
    """Pages of the list, and each object that is read by id."""
    reader.lists["ad"], reader.nodes["1202"], reader.pages = [ad(1)], ad(2), 4
    reports = pull(dates=days(3))
    assert [report.api_calls for report in reports] == [2, 2, 1]
    rows = query("select api_calls from control.slices where asset = 'ads' order by partition_date")
    assert [row["api_calls"] for row in rows] == [2, 2, 1]


@pytest.mark.usefixtures("facts")
def test_the_refresh_of_today_reads_only_what_is_new(reader, pull, ads):
    reader.lists["ad"] = [ad(1)]
    reader.nodes["1202"] = ad(2)
    pull(refresh=REFRESH_RECENT)  # its list leaves out the one that the facts name
    assert (reader.list_calls, ads()["1202"]["missing_since"]) == (1, START + timedelta(hours=1))
    (report,) = pull(refresh=REFRESH_TODAY)
    assert (reader.list_calls, reader.asked_ids) == (1, [["1202"]])
    assert (counts(report), report.api_calls) == ((0, 0, 0, 0), 0)


def test_a_new_ad_of_today_is_read_by_id_and_not_taken_for_missing(
    database, reader, account, pull, ads, query
):
    reader.lists["ad"] = [ad(1)]
    pull()
    reader.insights = {DAY: [ad_row(1), ad_row(2), ad_row(3)]}
    pull_insights(database, reader, account, "insights_daily", [DAY], PullContext("f", "f"))
    reader.nodes = {"1202": ad(2), "1203": ad(3, status="DELETED"), "502": {"id": "502"}}
    (report,) = pull(refresh=REFRESH_TODAY)
    assert (reader.list_calls, reader.asked_ids) == (1, [["1202", "1203"]])
    assert (counts(report), report.api_calls) == ((2, 0, 0, 0), 2)
    assert ads()["1202"]["missing_since"] is None
    assert ads()["1202"]["is_deleted"] is False
    assert (ads()["1203"]["is_deleted"], ads()["1203"]["missing_since"] is None) == (True, False)
    assert ads()["1201"]["missing_since"] is None  # it was not looked for
    assert versions(query, "1202") == ["Ad 2"]


def test_before_the_first_list_the_refresh_of_today_lists(reader, pull, ads):
    reader.lists["ad"] = [ad(1), ad(2)]
    (report,) = pull(refresh=REFRESH_TODAY)
    assert (reader.list_calls, report.api_calls) == (1, 1)
    assert set(ads()) == {"1201", "1202"}

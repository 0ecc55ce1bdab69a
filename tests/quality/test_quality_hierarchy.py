"""Hierarchy and anomalies: facts without parents fail, unusual days are told."""

from __future__ import annotations

import pytest

from meta_ads_pipeline.quality.anomalies import check_anomalies
from meta_ads_pipeline.quality.hierarchy import check_hierarchy
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.windows import DateWindow
from tests.quality.landing import DAYS, NEW_YORK, Landing


def test_facts_with_all_their_parents_pass(world: Landing, scope: CheckScope):
    world.execute("update raw.ads set is_deleted = true")  # deleted is known, not gone
    found = check_hierarchy(world.database, scope)
    assert found.passed
    assert found.description == "no rule is broken by 2 ads with facts"
    assert found.metadata["ads"] == 2
    assert {r.status for r in found.days} == {"passed"}
    assert len(found.days) == 6


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("delete from raw.ads where id = '11'", "the ad is in raw.ads"),
        ("delete from raw.adsets where id = '118'", "the ad set is in raw.adsets"),
        ("delete from raw.campaigns where id = '117'", "the campaign is in raw.campaigns"),
        ("update raw.ads set adset_id = '5' where id = '11'", "the ad is in the fact's ad set"),
        (
            "update raw.adsets set campaign_id = '5' where id = '118'",
            "the ad set is in the fact's campaign",
        ),
    ],
)
def test_a_fact_without_a_parent_is_named_with_its_days(
    world: Landing, scope: CheckScope, change: str, rule: str
):
    world.execute(change)
    found = check_hierarchy(world.database, scope)
    assert found.description == f'of 2 ads with facts, 1 break the rule "{rule}"'
    assert found.metadata["examples"].records[0].data["ad_id"] == "11"
    assert found.metadata["bad_days"] == "2026-03-02..2026-03-04"
    failed = [result for result in found.days if result.status == "failed"]
    assert [(r.account_id, r.event_date, r.violations) for r in failed] == [
        ("1", day, 1) for day in DAYS
    ]
    assert failed[0].expected == rule


def test_an_ad_under_two_ad_sets_is_found(world: Landing, scope: CheckScope):
    world.execute(
        "update marts.metric_facts set adset_id = '999' where ad_id = '11' and event_date = %s",
        [DAYS[0]],
    )
    found = check_hierarchy(world.database, scope)
    assert '2 break the rule "one row per ad_id"' in found.description
    assert '1 break the rule "the ad set is in raw.adsets"' in found.description


def test_other_dates_and_other_providers_are_left_alone(world: Landing, scope: CheckScope):
    world.execute("delete from raw.ads")
    world.execute("update marts.metric_facts set provider = 'tiktok' where account_id = '2'")
    early = CheckScope(DateWindow(DAYS[0], DAYS[0]), (NEW_YORK,), scope.started_at)
    found = check_hierarchy(world.database, early)
    assert found.metadata["bad_days"] == "2026-03-02"
    assert check_hierarchy(world.database, scope).metadata["ads"] == 1


def test_anomalies_are_told_most_unusual_first(world: Landing, scope: CheckScope):
    assert check_anomalies(world.database, scope).passed
    for key, day, score in (("a", DAYS[0], 4), ("b", DAYS[1], -9), ("c", None, 99)):
        world.execute(
            "insert into marts.anomalies (anomaly_key, account_id, event_date, kind, sentence,"
            " score) values (%s, '1', coalesce(%s, date '2026-01-01'), 'spike', %s, %s)",
            [key, day, f"spend was {key}", score],
        )
    found = check_anomalies(world.database, scope)
    assert not found.passed
    assert found.description() == "spend was b; 1 more"
    assert found.metadata()["days"] == "2026-03-02..2026-03-03"
    assert found.metadata()["anomalies_spike"] == 2

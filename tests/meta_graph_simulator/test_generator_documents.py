"""Documents of generated accounts: Meta's types, every status, consistent times."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from meta_graph_simulator.accounts.generator import GeneratedAccount, GeneratorConfig, generate
from meta_graph_simulator.accounts.source import KINDS
from tests.meta_graph_simulator.generated_accounts import NOW, Clock


@pytest.fixture(scope="module")
def fleet() -> list[GeneratedAccount]:
    return generate(GeneratorConfig(ads=60), Clock())


def test_three_accounts_by_default_with_different_money_and_time() -> None:
    accounts = generate(GeneratorConfig(), Clock())
    assert [a.account["currency"] for a in accounts] == ["EUR", "USD", "JPY"]
    assert [a.account["timezone_name"] for a in accounts] == [
        "Europe/Berlin",
        "America/New_York",
        "Asia/Tokyo",
    ]
    for found in accounts:
        assert found.account["id"] == f"act_{found.account['account_id']}"
        assert isinstance(found.account["amount_spent"], str)
        assert isinstance(found.account["min_daily_budget"], int)


def test_ids_are_long_and_unique_over_the_fleet(fleet: list[GeneratedAccount]) -> None:
    ids = [doc["id"] for a in fleet for kind in KINDS for doc in a.objects(kind)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"\d{17,18}", found) and int(found) > 2**53 for found in ids)


def test_every_status_is_there(fleet: list[GeneratedAccount]) -> None:
    found = {
        kind: {doc["effective_status"] for a in fleet for doc in a.objects(kind)}
        for kind in ("campaign", "adset", "ad")
    }
    assert found["campaign"] == {"ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "WITH_ISSUES"}
    assert found["adset"] >= {"ACTIVE", "PAUSED", "CAMPAIGN_PAUSED", "ARCHIVED", "DELETED"}
    assert found["ad"] >= {"ADSET_PAUSED", "CAMPAIGN_PAUSED", "DISAPPROVED", "WITH_ISSUES"}
    with_issues = [
        doc
        for a in fleet
        for kind in ("campaign", "adset", "ad")
        for doc in a.objects(kind)
        if doc["effective_status"] == "WITH_ISSUES"
    ]
    assert all(isinstance(doc["issues_info"][0]["error_code"], int) for doc in with_issues)


def test_new_ads_are_in_review_first() -> None:
    clock = Clock()
    found = GeneratedAccount(GeneratorConfig(ads=60), 0, clock)
    newest = max(found.objects("ad"), key=lambda ad: ad["created_time"])
    clock.instant = datetime.fromisoformat(newest["created_time"]) + timedelta(hours=1)
    reviewed = found.entities().by_id["ad"][newest["id"]]
    assert reviewed["effective_status"] == "PENDING_REVIEW"
    clock.instant -= timedelta(hours=2)
    assert newest["id"] not in found.entities().by_id["ad"]


def test_effective_status_follows_the_parents(fleet: list[GeneratedAccount]) -> None:
    for found in fleet:
        by_id = found.entities().by_id
        for ad in found.objects("ad"):
            adset, campaign = by_id["adset"][ad["adset_id"]], by_id["campaign"][ad["campaign_id"]]
            assert adset["campaign_id"] == campaign["id"]
            for gone in ("DELETED", "ARCHIVED"):
                if campaign["status"] == gone:
                    assert ad["effective_status"] in {"DELETED", "ARCHIVED"}
            if ad["effective_status"] == "CAMPAIGN_PAUSED":
                assert campaign["status"] == "PAUSED"
            if ad["effective_status"] == "ADSET_PAUSED":
                assert adset["status"] == "PAUSED"


def test_documents_have_metas_types(fleet: list[GeneratedAccount]) -> None:
    bids = 0
    for found in fleet:
        campaigns = found.entities().by_id["campaign"]
        for adset in found.objects("adset"):
            campaign = campaigns[adset["campaign_id"]]
            budgets = {"daily_budget", "lifetime_budget"}
            assert bool(budgets & set(adset)) != bool(budgets & set(campaign))
            assert ("bid_strategy" in adset) != ("bid_strategy" in campaign)
            for name in budgets & set(adset):
                assert adset[name].isdigit()
            bids += isinstance(adset.get("bid_amount"), int)
            assert isinstance(adset["attribution_spec"][0]["window_days"], int)
            assert adset["targeting"]["geo_locations"]["countries"]
        adsets = found.entities().by_id["adset"]
        for ad in found.objects("ad"):
            to_pixel = "pixel_id" in adsets[ad["adset_id"]].get("promoted_object", {})
            assert ("conversion_domain" in ad) == to_pixel
        for creative in found.objects("creative"):
            assert "utm_source" in creative["url_tags"]
            assert "oe=" in creative["thumbnail_url"]
            assert "created_time" not in creative
            assert creative["object_story_spec"]["page_id"]
    assert bids
    assert "None" not in json.dumps([f.entities().documents["ad"] for f in fleet])
    assert "null" not in json.dumps([f.objects(k) for f in fleet for k in KINDS])


def test_a_return_to_keep_comes_with_its_bid_strategy_only() -> None:
    adsets = [
        doc for a in generate(GeneratorConfig(ads=150), Clock()) for doc in a.objects("adset")
    ]
    floored = [doc for doc in adsets if doc.get("bid_strategy") == "LOWEST_COST_WITH_MIN_ROAS"]
    assert floored
    assert [doc for doc in adsets if "bid_constraints" in doc] == floored
    assert {doc["bid_constraints"]["roas_average_floor"] for doc in floored} == {15_000}


def test_times_are_consistent_and_have_a_colonless_offset(fleet: list[GeneratedAccount]) -> None:
    pattern = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}")
    for found in fleet:
        by_id = found.entities().by_id
        for kind in ("campaign", "adset", "ad"):
            for doc in found.objects(kind):
                assert pattern.fullmatch(doc["created_time"])
                created, updated = (
                    datetime.fromisoformat(doc[name]) for name in ("created_time", "updated_time")
                )
                assert created <= updated <= NOW
                parent = by_id["adset"].get(doc.get("adset_id", "")) if kind == "ad" else None
                if parent:
                    assert datetime.fromisoformat(parent["created_time"]) <= created


def test_all_objectives(fleet: list[GeneratedAccount]) -> None:
    found = {doc["objective"] for a in fleet for doc in a.objects("campaign")}
    assert found >= {
        *("OUTCOME_AWARENESS", "OUTCOME_TRAFFIC", "OUTCOME_ENGAGEMENT", "OUTCOME_LEADS"),
        *("OUTCOME_APP_PROMOTION", "OUTCOME_SALES", "CONVERSIONS", "LINK_CLICKS"),
    }


def test_learning_stages(fleet: list[GeneratedAccount]) -> None:
    stages = Counter(
        doc["learning_stage_info"]["status"]
        for a in fleet
        for doc in a.objects("adset")
        if "learning_stage_info" in doc
    )
    assert set(stages) == {"LEARNING", "SUCCESS", "FAIL"}


def test_budget_edits_do_not_bump_updated_time() -> None:
    clock = Clock(datetime(2026, 10, 31, 12, tzinfo=UTC))
    found = GeneratedAccount(GeneratorConfig(ads=30), 0, clock)
    before = found.entities().by_id["adset"]
    clock.instant = datetime(2026, 11, 2, 12, tzinfo=UTC)
    after = found.entities().by_id["adset"]
    edited = [
        doc["updated_time"] == after[key]["updated_time"]
        for key, doc in before.items()
        if doc.get("daily_budget", "") != after[key].get("daily_budget", "")
    ]
    assert edited
    assert all(edited)


def test_documents_are_the_same_object_until_something_changes() -> None:
    clock = Clock()
    found = GeneratedAccount(GeneratorConfig(ads=5), 0, clock)
    first = found.entities()
    clock.instant += timedelta(seconds=1)
    assert found.entities() is first
    clock.instant += timedelta(days=1)
    assert found.entities() is not first

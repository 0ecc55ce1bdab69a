"""Entities read daily and whole, ads that spend while stopped, types and fields nobody knows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import pytest
from psycopg.types.json import Jsonb

from meta_ads_pipeline.control.alerts import Severity, list_open_alerts
from meta_ads_pipeline.quality import action_types
from meta_ads_pipeline.quality.action_types import KNOWN_TYPES
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.outcome import CheckOutcome
from meta_ads_pipeline.quality.runner import evaluate, run_check
from meta_ads_pipeline.quality.scope import CheckScope
from tests.conftest import SHARED_DATA
from tests.quality.conftest import Look
from tests.quality.landing import DAYS, PULLED_AT, Landing

BAD = "account_id = '1' and event_date = '2026-03-03'"


def bad_days(outcome: CheckOutcome) -> list[tuple[str, object, str]]:
    return [(r.account_id, r.event_date, r.status) for r in outcome.days if r.status != "passed"]


def version(landing: Landing, level: str, entity_id: str, at: str, **document: str) -> None:
    landing.execute(
        "insert into raw.entity_versions (account_id, level, entity_id, valid_from, document,"
        " document_hash) values ('1', %s, %s, %s, %s, %s)",
        [level, entity_id, at, Jsonb(document), f"{at}{document}"],
    )


def report(landing: Landing, *names: str) -> None:
    landing.execute(
        f"update raw.insights_daily set actions = %s where {BAD}",
        [Jsonb([{"action_type": name, "value": "1"} for name in names])],
    )


def test_an_unknown_action_type_is_told_once_and_turns_nothing_red(
    world: Landing, scope: CheckScope, monkeypatch: pytest.MonkeyPatch
):
    report(world, "lead", "omni_purchase", "offsite_conversion.custom.99", "lead_telepathic")
    rule = rule_of("raw/insights_daily", "action_types")
    for _ in range(2):
        found = run_check(world.database, rule, "raw/insights_daily", scope)
    assert found.description.endswith("unknown action type lead_telepathic")
    assert bad_days(found) == [("1", DAYS[1], "warned")]
    key = dg.AssetCheckKey(dg.AssetKey(["raw", "insights_daily"]), "action_types")
    assert found.result(rule, scope.dates, scope.account_names, key).passed
    (raised,) = list_open_alerts(world.database)
    assert (raised.alert.subject, raised.alert.severity) == (
        "action type lead_telepathic",
        Severity.INFO,
    )
    assert raised.escalated_at == raised.first_raised_at  # news once

    monkeypatch.setattr(
        action_types, "known_types", lambda: frozenset(KNOWN_TYPES | {"lead_telepathic"})
    )
    assert run_check(world.database, rule, "raw/insights_daily", scope).passed
    assert list_open_alerts(world.database) == []


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the recorded samples are not here")
def test_the_types_of_recorded_accounts_are_known(world: Landing, look: Look):
    seen = set()
    for path in SHARED_DATA.rglob("*.json"):
        seen |= _types(json.loads(path.read_text()))
    assert len(seen) > 20
    report(world, *seen)
    assert look("raw/insights_daily", "action_types").findings == []


def _types(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["action_type"]} if isinstance(node.get("action_type"), str) else set()
        return own.union(*map(_types, node.values()))
    return set().union(*map(_types, node)) if isinstance(node, list) else set()


def test_a_field_that_nobody_asked_for_is_named(world: Landing, look: Look):
    world.execute(
        """update raw.campaigns set document = '{"id": "1", "mood": 1}' where id = '117'"""
    )
    found = look("raw/campaigns", "fields")
    assert found.description.endswith("field that was not asked for: mood")
    assert bad_days(found) == [("1", None, "warned")]
    assert look("raw/adsets", "fields").passed


@pytest.mark.parametrize(("hours", "recent"), [(23.9, True), (24.1, False)])
def test_entities_must_have_been_read_within_a_day(
    world: Landing, scope: CheckScope, hours: float, recent: bool
):
    later = replace(scope, started_at=PULLED_AT + timedelta(hours=hours))
    rule = rule_of("raw/campaigns", "read_daily")
    found = evaluate(world.database, rule, "raw/campaigns", later)
    assert found.passed is recent
    assert bool(bad_days(found)) is not recent


def test_an_account_never_read_is_found(world: Landing, look: Look):
    world.execute("delete from control.slices where asset = 'adsets' and account_id = '2'")
    assert bad_days(look("raw/adsets", "read_daily")) == [("2", None, "failed")]


def test_a_budget_edit_that_the_history_missed_is_found(world: Landing, look: Look):
    version(world, "campaign", "117", "2026-03-01Z", daily_budget="1000")
    world.execute("""update raw.campaigns set document = '{"daily_budget": "1000"}'
        where id = '117'""")
    assert look("raw/campaigns", "read_daily").passed
    world.execute("""update raw.campaigns set document = '{"daily_budget": "2000"}'
        where id = '117'""")
    found = look("raw/campaigns", "read_daily")
    assert "every budget is the one that the history says last" in found.description
    version(world, "campaign", "117", "2026-03-02Z", daily_budget="2000")
    assert look("raw/campaigns", "read_daily").passed


def test_an_ad_with_rows_that_never_landed_as_an_entity_is_found(world: Landing, look: Look):
    world.execute(f"update raw.insights_hourly set ad_id = '12' where {BAD} and event_hour = 3")
    found = look("raw/ads", "new_entities")
    assert "the ad is in raw.ads" in found.description
    assert bad_days(found) == [("1", DAYS[1], "failed")]
    assert len(found.days) == 6


NEW_YORK_3RD = ("2026-03-03 05:00Z", "2026-03-04 05:00Z")  # midnight to midnight


@pytest.mark.parametrize(
    ("level", "entity", "status", "start", "end", "found"),
    [
        ("ad", "11", "DISAPPROVED", *NEW_YORK_3RD, True),
        ("adset", "118", "ARCHIVED", "2026-03-02 12:00Z", "2026-03-04 12:00Z", True),
        ("campaign", "117", "DELETED", "2026-03-02 12:00Z", None, True),
        ("ad", "11", "DISAPPROVED", "2026-03-03 06:00Z", "2026-03-05Z", False),  # began later
        (
            "ad",
            "11",
            "DISAPPROVED",
            "2026-03-02 06:00Z",
            "2026-03-04 04:00Z",
            False,
        ),  # ended sooner
        ("ad", "11", "PAUSED", *NEW_YORK_3RD, False),
        ("ad", "99", "DELETED", *NEW_YORK_3RD, False),
    ],
)
def test_spend_is_impossible_on_a_day_stopped_from_midnight_to_midnight(
    world: Landing,
    look: Look,
    level: str,
    entity: str,
    status: str,
    start: str,
    end: str | None,
    found: bool,
):
    version(world, level, entity, start, effective_status=status)
    if end is not None:
        version(world, level, entity, end, effective_status="ACTIVE")
    outcome = look("raw/insights_daily", "spend_while_stopped")
    assert (("1", DAYS[1], "warned") in bad_days(outcome)) is found
    assert outcome.passed is not found
    world.execute("update raw.insights_daily set spend = 0")
    assert look("raw/insights_daily", "spend_while_stopped").passed


def test_a_stop_without_an_end_counts_up_to_the_last_read(world: Landing, look: Look):
    version(world, "ad", "11", "2026-03-01Z", effective_status="DELETED")
    world.execute("update control.slices set pulled_at = '2026-03-03 20:00Z' where asset = 'ads'")
    assert bad_days(look("raw/insights_daily", "spend_while_stopped")) == [("1", DAYS[0], "warned")]


ENTITY_BROKEN = [
    ("raw/ad_accounts", "set currency = 'euro'", "currency is an ISO 4217 code", False),
    ("raw/ad_accounts", "set timezone = 'Europe/Atlantis'", "timezone is an IANA name", False),
    ("raw/ad_accounts", "set timezone = 'UTC'", "timezone is the one that syncs use", False),
    (
        "raw/creatives",
        "set changed_at = pulled_at + interval '1 s'",
        "it was first seen, then changed, then pulled",
        False,
    ),
    ("raw/ads", "set effective_status = 'NEW_IN_V27'", "effective_status is a known one", True),
]


@pytest.mark.parametrize(("asset", "change", "rule", "is_warning"), ENTITY_BROKEN)
def test_a_broken_entity_rule_is_named(
    world: Landing, look: Look, asset: str, change: str, rule: str, is_warning: bool
):
    assert look(asset, "schema").passed
    world.execute(f"update {asset.replace('/', '.')} {change} where account_id = '1'")
    found = look(asset, "schema")
    assert rule in [finding.rule for finding in found.findings]
    assert {finding.account_id for finding in found.findings} == {"1"}
    assert found.is_warning is is_warning

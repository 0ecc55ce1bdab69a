"""Entities read daily and whole, ads that spend while stopped, types and fields nobody knows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg.types.json import Jsonb

from meta_ads_pipeline.control.alerts import Severity, list_open_alerts
from meta_ads_pipeline.quality import action_types
from meta_ads_pipeline.quality.action_types import KNOWN_TYPES, check_action_types
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.entity_checks import (
    check_fields,
    check_new_entities,
    check_read_daily,
)
from meta_ads_pipeline.quality.outcome import CheckOutcome
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.stopped_ads import check_stopped_ads
from tests.conftest import SHARED_DATA
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
    for _ in range(2):
        found = check_action_types(world.database, scope)
    assert found.description == "1 action types are not known yet: lead_telepathic"
    assert bad_days(found) == [("1", DAYS[1], "warned")]
    assert found.result(rule_of("raw/insights_daily", "action_types"), scope).passed
    (raised,) = list_open_alerts(world.database)
    assert (raised.alert.subject, raised.alert.severity) == (
        "action type lead_telepathic",
        Severity.INFO,
    )
    assert raised.escalated_at == raised.first_raised_at  # news once

    monkeypatch.setattr(action_types, "KNOWN_TYPES", KNOWN_TYPES | {"lead_telepathic"})
    assert check_action_types(world.database, scope).passed
    assert list_open_alerts(world.database) == []


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the recorded samples are not here")
def test_the_types_of_recorded_accounts_are_known(world: Landing, scope: CheckScope):
    seen = set()
    for path in SHARED_DATA.rglob("*.json"):
        seen |= _types(json.loads(path.read_text()))
    assert len(seen) > 20
    report(world, *seen)
    assert check_action_types(world.database, scope).description == (
        "every action type is a known one"
    )


def _types(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["action_type"]} if isinstance(node.get("action_type"), str) else set()
        return own.union(*map(_types, node.values()))
    return set().union(*map(_types, node)) if isinstance(node, list) else set()


def test_a_field_that_nobody_asked_for_is_named(world: Landing, scope: CheckScope):
    world.execute(
        """update raw.campaigns set document = '{"id": "1", "mood": 1}' where id = '117'"""
    )
    found = check_fields(world.database, "campaigns", scope)
    assert found.description == "1 fields that were not asked for: mood"
    assert bad_days(found) == [("1", None, "warned")]
    assert check_fields(world.database, "adsets", scope).passed


@pytest.mark.parametrize(("hours", "recent"), [(23.9, True), (24.1, False)])
def test_entities_must_have_been_read_within_a_day(
    world: Landing, scope: CheckScope, hours: float, recent: bool
):
    later = replace(scope, started_at=PULLED_AT + timedelta(hours=hours))
    found = check_read_daily(world.database, "campaigns", later)
    assert found.passed is recent
    assert bool(bad_days(found)) is not recent


def test_an_account_never_read_is_found(world: Landing, scope: CheckScope):
    world.execute("delete from control.slices where asset = 'adsets' and account_id = '2'")
    assert bad_days(check_read_daily(world.database, "adsets", scope)) == [("2", None, "failed")]


def test_a_budget_edit_that_the_history_missed_is_found(world: Landing, scope: CheckScope):
    version(world, "campaign", "117", "2026-03-01Z", daily_budget="1000")
    world.execute("""update raw.campaigns set document = '{"daily_budget": "1000"}'
        where id = '117'""")
    assert check_read_daily(world.database, "campaigns", scope).passed
    world.execute("""update raw.campaigns set document = '{"daily_budget": "2000"}'
        where id = '117'""")
    found = check_read_daily(world.database, "campaigns", scope)
    assert "every budget is the one that the history says last" in found.description
    version(world, "campaign", "117", "2026-03-02Z", daily_budget="2000")
    assert check_read_daily(world.database, "campaigns", scope).passed


def test_an_ad_with_rows_that_never_landed_as_an_entity_is_found(world: Landing, scope: CheckScope):
    world.execute(f"update raw.insights_hourly set ad_id = '12' where {BAD} and event_hour = 3")
    found = check_new_entities(world.database, scope)
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
    scope: CheckScope,
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
    outcome = check_stopped_ads(world.database, scope)
    assert (("1", DAYS[1], "warned") in bad_days(outcome)) is found
    assert outcome.passed is not found
    world.execute("update raw.insights_daily set spend = 0")
    assert check_stopped_ads(world.database, scope).passed


def test_a_stop_without_an_end_counts_up_to_the_last_read(world: Landing, scope: CheckScope):
    version(world, "ad", "11", "2026-03-01Z", effective_status="DELETED")
    world.execute("update control.slices set pulled_at = '2026-03-03 20:00Z' where asset = 'ads'")
    assert bad_days(check_stopped_ads(world.database, scope)) == [("1", DAYS[0], "warned")]

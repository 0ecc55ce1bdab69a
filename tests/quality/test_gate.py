"""The gate: what landed rows keep out of the facts, how that is marked, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from meta_ads_pipeline.control.alerts import Severity, list_open_alerts
from meta_ads_pipeline.control.check_results import record_results
from meta_ads_pipeline.definitions import build_defs
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.quality.catalogue import RULES, rule_of
from meta_ads_pipeline.quality.discrepancies import KIND, update_discrepancy_alerts
from meta_ads_pipeline.quality.gate import GATE, close_gate
from meta_ads_pipeline.quality.runner import evaluate, quality_checks, run_check
from meta_ads_pipeline.quality.scope import CheckScope
from tests.quality.landing import DAYS, Landing

PLACE = ("1", DAYS[1])
BAD = "account_id = '1' and event_date = '2026-03-03'"


def results(world: Landing, where: str) -> list[dict[str, Any]]:
    return world.fetch(
        f"select * from control.check_results where {where} order by account_id, event_date"
    )


def marked(world: Landing) -> list[tuple[Any, ...]]:
    rows = world.fetch(
        "select account_id, partition_date, asset, error_message from control.slices"
        " where status = 'mismatched' order by asset"
    )
    return [tuple(row.values()) for row in rows]


def reconcile(world: Landing, scope: CheckScope) -> None:
    asset = "marts/reconciliation"
    run_check(world.database, rule_of(asset, "reconciliation"), asset, scope)


def test_a_sound_scope_passes_and_every_account_day_has_its_result(
    world: Landing, scope: CheckScope
):
    assert close_gate(world.database, scope) == {}
    rows = results(world, "true")
    assert {row["status"] for row in rows} == {"passed"}
    assert len(rows) == 2 * 3 * len(INSIGHTS_TABLES) * 5
    assert marked(world) == []


def test_a_bad_row_holds_its_account_day_and_has_its_slice_pulled_again(
    world: Landing, scope: CheckScope
):
    world.execute(f"update raw.insights_hourly set spend = 0.001 where {BAD} and event_hour = 9")
    held = close_gate(world.database, replace(scope, run_id="first"))
    rule = "spend has at most two decimals: more are the trace of a binary float"
    said = f'1 break the rule "{rule}"'
    assert held == {PLACE: f"raw/insights_hourly schema: {said}"}
    assert marked(world) == [(*PLACE, "insights_hourly", f"schema: {said}")]
    (row,) = results(world, "status = 'failed'")
    assert (row["severity"], row["violations"]) == ("block", 1)
    assert (row["expected"], row["observed"]) == (rule, "spend 0.001")
    # The three pulls agree in the marts: that must not take the mark away.
    reconcile(world, scope)
    assert len(marked(world)) == 1

    world.execute(f"update raw.insights_hourly set spend = 125 where {BAD}")
    assert close_gate(world.database, replace(scope, run_id="second")) == {}
    reconcile(world, scope)
    assert marked(world) == []
    (row,) = results(world, "last_failed_at is not null")
    assert (row["status"], row["times_failed"]) == ("passed", 0)


def test_a_warning_holds_nothing(world: Landing, scope: CheckScope):
    world.execute(f"update raw.insights_hourly set clicks = 99 where {BAD} and event_hour = 9")
    assert close_gate(world.database, scope) == {}
    (row,) = results(world, "status <> 'passed'")
    assert (row["status"], row["check_name"]) == ("warned", "impossible_values")


def test_rows_that_came_or_went_after_the_load_are_missed(world: Landing, scope: CheckScope):
    world.execute(
        "update control.slices set rows_inserted = 1, rows_updated = 0, rows_unchanged = 0,"
        " finished_at = now() where asset = 'insights_daily'"
    )
    assert close_gate(world.database, replace(scope, run_id="a")) == {}
    world.execute(f"delete from raw.insights_daily where {BAD}")
    held = close_gate(world.database, replace(scope, run_id="b"))
    assert list(held) == [PLACE]
    assert "the slice holds as many rows as its load wrote" in held[PLACE]
    (row,) = results(world, "status = 'failed'")
    assert row["observed"] == "rows_written 1, rows_there 0"


def test_a_replayed_dead_letter_may_add_its_row(world: Landing, scope: CheckScope):
    world.execute(
        "update control.slices set rows_inserted = 0, rows_updated = 0, rows_unchanged = 0,"
        f" finished_at = now() where asset = 'insights_daily' and account_id = '1'"
        f" and partition_date = '{DAYS[1]}'"
    )
    assert list(close_gate(world.database, replace(scope, run_id="a"))) == [PLACE]
    world.execute(
        "insert into control.dead_letters (fingerprint, account_id, asset, partition_date, reason,"
        " document, status, resolved_at) values ('f', '1', 'insights_daily', %s, 'r', '{}',"
        " 'replayed', now() + interval '1 s')",
        [DAYS[1]],
    )
    assert close_gate(world.database, replace(scope, run_id="b")) == {}


@pytest.mark.parametrize(("column", "value"), [("timezone", "Asia/Kolkata"), ("currency", "EUR")])
def test_units_that_were_never_the_accounts_hold_and_old_ones_only_warn(
    world: Landing, scope: CheckScope, column: str, value: str
):
    world.execute(f"update raw.account_totals set {column} = %s where {BAD}", [value])
    held = close_gate(world.database, replace(scope, run_id="a"))
    assert f"{column} is or was the account's own" in held[PLACE]

    # It was the account's until the day before: the row is right, but of another account state.
    world.execute(
        "insert into raw.entity_versions (account_id, level, entity_id, valid_from, document,"
        " document_hash) select '1', 'account', '1', at, jsonb_build_object('timezone_name',"
        "   case when is_old and %(column)s = 'timezone' then %(value)s"
        "     else 'America/New_York' end,"
        "   'currency', case when is_old and %(column)s = 'currency' then %(value)s"
        "     else 'USD' end), at::text"
        " from (values (timestamptz '2026-01-01 00:00Z', true),"
        "   (timestamptz '2026-03-02 12:00Z', false)) as v (at, is_old)",
        {"column": column, "value": value},
    )
    assert close_gate(world.database, replace(scope, run_id="b")) == {}
    (row,) = results(world, "status <> 'passed'")
    assert (row["status"], row["check_name"]) == ("warned", "currency_and_timezone")
    # Had it changed later, the row would be as it should be.
    world.execute(
        "update raw.entity_versions set valid_from = '2026-03-09Z' where valid_from > '2026-02-01'"
    )
    assert close_gate(world.database, replace(scope, run_id="c")) == {}
    assert results(world, "status <> 'passed'") == []


def test_one_run_evaluates_the_landed_rows_once(world: Landing, scope: CheckScope):
    asset = "raw/insights_daily"
    rule = rule_of(asset, "schema")
    run = replace(scope, run_id="one")
    before = evaluate(world.database, rule, asset, run)
    assert evaluate(world.database, rule, asset, run) is before
    assert evaluate(world.database, rule, asset, replace(scope, run_id="two")) is not before


def test_dbt_starts_after_the_gate_and_the_gate_after_the_landed_rows():
    # With an instance of its own: Dagster would ask that of an earlier test, which is gone.
    with dg.DagsterInstance.ephemeral():
        graph = build_defs().resolve_asset_graph()
    facts = graph.get(dg.AssetKey(["marts", "metric_facts"]))
    gate = graph.get(GATE)
    assert GATE in facts.parent_keys
    assert {dg.AssetKey(["raw", asset]) for asset in INSIGHTS_TABLES} <= gate.parent_keys
    assert gate.is_partitioned


def test_every_check_is_declared_once_and_every_declaration_is_a_check():
    declared = [(asset, rule.name) for rule in RULES for asset in rule.assets]
    wired = {
        ("/".join(key.asset_key.path), key.name)
        for checks in quality_checks
        for key in checks.check_keys
    }
    assert sorted(declared) == sorted(wired)
    assert rule_of("raw/insights_hourly", "schema").severity == "block"
    assert rule_of("raw/ads", "schema").severity == "warn"
    with pytest.raises(LookupError, match="no check shape of raw/ads"):
        rule_of("raw/ads", "shape")


AT = datetime(2026, 11, 1, 6, tzinfo=UTC)


def look(world: Landing, scope: CheckScope, run: int, hours: float) -> None:
    asset = "raw/insights_daily"
    outcome = evaluate(world.database, rule_of(asset, "schema"), asset, scope)
    record_results(
        world.database,
        (asset, "schema"),
        "block",
        outcome.days,
        run_id=str(run),
        at=AT + timedelta(hours=hours),
    )


def standing(world: Landing) -> list[Any]:
    return [raised for raised in list_open_alerts(world.database) if raised.alert.kind == KIND]


def test_a_discrepancy_that_persists_is_an_alert_until_it_passes(world: Landing, scope: CheckScope):
    world.execute(f"update raw.insights_daily set spend = 0.001 where {BAD}")
    for run, hours in enumerate((0, 1, 23.9)):
        look(world, scope, run, hours)
    assert update_discrepancy_alerts(world.database) == []  # often enough, not yet for long enough
    look(world, scope, 3, 24.1)
    update_discrepancy_alerts(world.database)
    update_discrepancy_alerts(world.database)
    (raised,) = standing(world)
    alert = raised.alert
    assert alert.severity is Severity.CRITICAL
    assert alert.subject == "ad account 1: schema of raw/insights_daily"
    assert alert.message == (
        "act_1: schema of raw/insights_daily fails on 2026-03-03 since"
        " 2026-11-01 06:00 UTC, in 4 runs: 1 break the rule "
        '"spend has at most two decimals: more are the trace of a binary float"'
    )
    assert "meta-ads sync --start 2026-03-03 --end 2026-03-03 --account 1" in alert.what_to_do

    world.execute(f"update raw.insights_daily set spend = 125 where {BAD}")
    look(world, scope, 4, 25)
    assert update_discrepancy_alerts(world.database) == []
    assert standing(world) == []

"""The one runner of checks: the SQL of a rule over a scope, its results kept, its colour shown.

A rule's file in ``sql/`` returns its findings: ``account_id``, ``event_date`` (null for what has no
date), ``rule`` (how it should be), ``is_warning``, ``violations``, ``observed``, and where it has
something better to say ``expected``, ``message`` and ``shown`` (a row for Dagster's page, as
JSON). ``{{ table }}`` stands for the table; parameters are those of ``parameters_of``.

Checks carry no partitions definition: Dagster 1.13 evaluates a check once in a ranged run and keeps
the latest evaluation only. So a check speaks for everything that is open, not for the last run's
dates alone: results are kept per account-day in ``control.check_results``, and what an earlier run
found stays red until a later one finds it good.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import dagster as dg

from meta_ads_pipeline.control.check_results import AccountDay, open_results, record_results
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.slices import IS_READ_AGAIN
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES, TOTALS_TABLE
from meta_ads_pipeline.meta_api.fields import ACCOUNT_FIELDS, ENTITY_FIELDS
from meta_ads_pipeline.quality import action_types
from meta_ads_pipeline.quality.catalogue import ENTITIES, INSIGHTS, RULES, Rule
from meta_ads_pipeline.quality.discrepancies import update_discrepancy_alerts
from meta_ads_pipeline.quality.mismatches import mark_mismatches
from meta_ads_pipeline.quality.outcome import CheckOutcome, Finding, StillOpen, day_ranges
from meta_ads_pipeline.quality.scope import CheckScope, scope_of
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

MARTS = ("marts/reconciliation", "marts/metric_facts", "marts/anomalies")

_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ad_accounts": frozenset(ACCOUNT_FIELDS),
        "campaigns": frozenset(ENTITY_FIELDS["campaign"]),
        "adsets": frozenset(ENTITY_FIELDS["adset"]),
        "ads": frozenset(ENTITY_FIELDS["ad"]),
        "creatives": frozenset(ENTITY_FIELDS["creative"]),
    }
)
_STATUSES = ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES"]
_EFFECTIVE_STATUSES = [
    *_STATUSES,
    *("CAMPAIGN_PAUSED", "ADSET_PAUSED", "PENDING_REVIEW", "DISAPPROVED"),
    *("PREAPPROVED", "PENDING_BILLING_INFO"),
]
_WHOLE_CURRENCIES = ["CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"]
"""Currencies of Meta's offset 1: their amounts have no decimals (not ISO 4217)."""


def evaluate(database: Database, rule: Rule, asset: str, scope: CheckScope) -> CheckOutcome:
    """Look at an asset's account-days of the scope with the rule's SQL.

    The gate before dbt and the checks' own step ask about the same landed rows: what blocks is
    evaluated once in a run. Raises ``DatabaseError`` when the server cannot be reached.
    """
    once = rule.severity == "block" and asset in INSIGHTS and scope.run_id
    return (_evaluate_once if once else _evaluate)(database, rule, asset, scope)


def _evaluate(database: Database, rule: Rule, asset: str, scope: CheckScope) -> CheckOutcome:
    table = asset.split("/")[1]
    parameters = parameters_of(scope, table)
    with database.connect() as connection:
        # Checks compare sets of which Postgres cannot know the size: where it expects one row, a
        # nested loop over a year takes minutes.
        connection.execute("set local enable_nestloop = off")
        rows = [
            row
            for name in rule.sql
            for row in connection.execute(_statement(name, table), parameters).fetchall()
        ]
    return CheckOutcome(
        _looked_at(database, rule, table, scope),
        [Finding(**row) for row in rows],
        expects_something=rule.name == "completeness",
    )


_evaluate_once = lru_cache(maxsize=32)(_evaluate)


def parameters_of(scope: CheckScope, table: str) -> dict[str, Any]:
    """What the SQL of a check may refer to: the scope, the table, and what is known of Meta."""
    begun = scope.begun_slices()
    return {
        "accounts": scope.account_ids,
        "start": scope.window.start,
        "end": scope.window.end,
        "started_at": scope.started_at,
        "run": scope.run_id,
        "asset": table,
        "begun_accounts": [account_id for account_id, _ in begun],
        "begun_dates": [day for _, day in begun],
        "asked": sorted(_FIELDS.get(table, ())),
        "statuses": _STATUSES,
        "effective_statuses": _EFFECTIVE_STATUSES,
        "whole_currencies": _WHOLE_CURRENCIES,
        "known_types": sorted(action_types.known_types()),
        "custom_types": list(action_types.CUSTOM_TYPES),
    }


def _statement(name: str, table: str) -> bytes:
    insights = INSIGHTS_TABLES.get(table)
    lists = [
        f"('{column}', rows.{column})"
        for column in ("actions", "action_values")
        if insights is not None and column in insights.columns
    ]
    return sql(name, table=table, action_lists=", ".join(lists), is_read_again=IS_READ_AGAIN)


def _looked_at(
    database: Database, rule: Rule, table: str, scope: CheckScope
) -> Sequence[AccountDay]:
    if rule.looks_at == "accounts":
        return [(account_id, None) for account_id in scope.account_ids]
    if rule.looks_at == "begun":
        return scope.begun_slices()
    asset = table if table in INSIGHTS_TABLES else TOTALS_TABLE.asset
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, partition_date from control.slices"
            " where asset = %s and account_id = any(%s) and partition_date between %s and %s"
            "   and pulled_at is not null order by 1, 2",
            [asset, scope.account_ids, scope.window.start, scope.window.end],
        ).fetchall()
    return [(row["account_id"], row["partition_date"]) for row in rows]


def run_check(database: Database, rule: Rule, asset: str, scope: CheckScope) -> CheckOutcome:
    """Evaluate a check, keep its results, and do what follows from them.

    The outcome speaks also for what is open outside of the scope. Raises ``DatabaseError`` when
    the server cannot be reached.
    """
    found = evaluate(database, rule, asset, scope)
    record_results(database, (asset, rule.name), rule.severity, found.days, run_id=scope.run_id)
    if rule.name == "reconciliation":
        mark_mismatches(database, found, scope)
    if rule.name == "action_types":
        action_types.tell_unknown(database, [f.observed for f in found.findings if f.observed])
    here = {(result.account_id, result.event_date) for result in found.days}
    still_open = [
        StillOpen(row.account_id, row.event_date, row.status, row.message or rule.question)
        for row in open_results(database, (asset, rule.name), scope.warned_since)
        if (row.account_id, row.event_date) not in here
    ]
    return replace(found, still_open=still_open)


def checks_step(name: str, *assets: str) -> dg.AssetChecksDefinition:
    """One step that evaluates the assets' checks that the run selected, over the run's scope.

    When an account-day of the scope is missing or held, the step fails after everything was
    evaluated: what was landed and built stays, but the run does not end green.
    """
    checks = [
        (dg.AssetCheckKey(dg.AssetKey(asset.split("/")), rule.name), rule, asset)
        for rule in RULES
        for asset in assets
        if asset in rule.assets
    ]

    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(
                key.name,
                asset=key.asset_key,
                description=rule.question,
                additional_deps=_AFTER.get(rule.name),
            )
            for key, rule, _ in checks
        ],
        can_subset=True,
    )
    def step(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource, meta: MetaAdsResource
    ) -> Iterator[dg.AssetCheckResult]:
        scope = scope_of(context, database, meta)
        failures = []
        for key, rule, asset in checks:
            if key in context.selected_asset_check_keys:
                outcome = run_check(database.database, rule, asset, scope)
                yield outcome.result(rule, scope.dates, scope.account_names, key)
                if rule.fails_the_run and outcome.failed_here:
                    failures.append(f"{rule.name} of {asset}: {_places(outcome.failed_here)}")
        update_discrepancy_alerts(database.database)
        if failures:
            raise dg.Failure(
                "account-days that are missing or held back: " + "; ".join(failures),
                allow_retries=False,
            )

    return step


def _places(account_days: Sequence[AccountDay]) -> str:
    accounts = dict.fromkeys(account_id for account_id, _ in account_days)
    return ", ".join(
        f"act_{account_id} {day_ranges((d for a, d in account_days if a == account_id and d), 5)}"
        for account_id in accounts
    )


_AFTER: dict[str, Sequence[dg.AssetKey]] = {
    "new_entities": [dg.AssetKey(["raw", name]) for name in ("adsets", "campaigns")],
}
"""What else must be there before a check of an asset can say something."""

quality_checks: list[dg.AssetChecksDefinition] = [
    checks_step("raw_checks", "raw/ad_accounts", *INSIGHTS, *ENTITIES),
    checks_step("marts_checks", *MARTS),
]

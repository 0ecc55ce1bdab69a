"""The asset checks as Dagster runs them: one light step per raw asset, one for the marts.

They carry no partitions definition: Dagster 1.13 evaluates a check once in a ranged run and stores
the result without a partition. So that it says which dates are meant, every result names the dates
it looked at and its bad days in its metadata, and the result of each account-day is kept in
``control.check_results``. What a failure means is declared in ``rulebook``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import dagster as dg

from meta_ads_pipeline.control.check_results import DayResult, record_results
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.action_types import check_action_types
from meta_ads_pipeline.quality.anomalies import check_anomalies
from meta_ads_pipeline.quality.catalogue import RULES, Rule
from meta_ads_pipeline.quality.completeness import check_completeness
from meta_ads_pipeline.quality.discrepancies import update_discrepancy_alerts
from meta_ads_pipeline.quality.entity_checks import (
    check_fields,
    check_new_entities,
    check_read_daily,
)
from meta_ads_pipeline.quality.hierarchy import check_hierarchy
from meta_ads_pipeline.quality.landed_rows import landed_outcomes
from meta_ads_pipeline.quality.levels import check_levels
from meta_ads_pipeline.quality.outcome import CheckOutcome, accounts_of
from meta_ads_pipeline.quality.raw_models import LANDED_TABLES
from meta_ads_pipeline.quality.reconciliation import check_reconciliation
from meta_ads_pipeline.quality.schema_checks import check_landed_table
from meta_ads_pipeline.quality.scope import CheckScope, scope_of
from meta_ads_pipeline.quality.stopped_ads import check_stopped_ads
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource

Evaluate: TypeAlias = Callable[[Database, CheckScope], CheckOutcome]
Check: TypeAlias = tuple[dg.AssetCheckSpec, Rule, Evaluate]


def checks_step(name: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """One step that evaluates those of its checks that the run selected, over the run's scope."""

    @dg.multi_asset_check(name=name, specs=[spec for spec, _, _ in checks], can_subset=True)
    def step(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource, meta: MetaAdsResource
    ) -> Iterator[dg.AssetCheckResult]:
        scope = scope_of(context, database, meta)
        for spec, rule, evaluate in checks:
            if spec.key in context.selected_asset_check_keys:
                outcome = evaluate(database.database, scope)
                record_results(
                    database.database,
                    ("/".join(spec.asset_key.path), spec.name),
                    rule.severity,
                    outcome.days,
                    run_id=scope.run_id,
                )
                yield outcome.result(rule, scope)._replace(
                    asset_key=spec.asset_key, check_name=spec.name
                )
        update_discrepancy_alerts(database.database)

    return step


def _landed(database: Database, scope: CheckScope, *, asset: str, name: str) -> CheckOutcome:
    return landed_outcomes(database, asset, scope)[name]


def _entity_schema(database: Database, scope: CheckScope, *, asset: str) -> CheckOutcome:
    violations = check_landed_table(database, LANDED_TABLES[asset], scope)
    return CheckOutcome.of(violations, accounts_of(scope))


def _completeness(database: Database, scope: CheckScope, *, asset: str) -> CheckOutcome:
    found = check_completeness(database, asset, scope)
    return CheckOutcome(found.passed, found.description(), found.metadata(), found.day_results())


def _fields(database: Database, scope: CheckScope, *, asset: str) -> CheckOutcome:
    return check_fields(database, asset, scope)


def _read_daily(database: Database, scope: CheckScope, *, asset: str) -> CheckOutcome:
    return check_read_daily(database, asset, scope)


def _reconciliation(database: Database, scope: CheckScope) -> CheckOutcome:
    found = check_reconciliation(database, scope)
    return CheckOutcome(found.passed, found.description(), found.metadata(), found.day_results())


def _anomalies(database: Database, scope: CheckScope) -> CheckOutcome:
    found = check_anomalies(database, scope)
    sentences: dict[tuple[str, object], list[str]] = {}
    for row in found.rows:
        sentences.setdefault((row["account_id"], row["event_date"]), []).append(row["sentence"])
    days = [
        DayResult(*account_day, "passed")
        if account_day not in sentences
        else DayResult(
            *account_day,
            "warned",
            violations=len(sentences[account_day]),
            message="; ".join(sentences[account_day]),
        )
        for account_day in scope.begun_slices()
    ]
    return CheckOutcome(found.passed, found.description(), found.metadata(), days, is_warning=True)


_OF_ONE_ASSET: dict[str, Callable[..., CheckOutcome]] = {
    "schema": _entity_schema,
    "completeness": _completeness,
    "fields": _fields,
    "read_daily": _read_daily,
}
_OF_ALL: dict[str, Evaluate] = {
    "action_types": check_action_types,
    "spend_while_stopped": check_stopped_ads,
    "new_entities": check_new_entities,
    "reconciliation": _reconciliation,
    "hierarchy": check_hierarchy,
    "levels": check_levels,
    "anomalies": _anomalies,
}
_AFTER: dict[str, Sequence[dg.AssetKey]] = {
    "new_entities": [dg.AssetKey(["raw", name]) for name in ("adsets", "campaigns")],
}
"""What else must be there before a check of an asset can say something."""


def check_of(rule: Rule, asset: str) -> Check:
    """A declared check of one of its assets: how Dagster knows it, and how it is evaluated."""
    table = asset.removeprefix("raw/")
    evaluate: Evaluate
    if rule.severity == "block" and asset != "marts/reconciliation":
        evaluate = partial(_landed, asset=table, name=rule.name)
    elif rule.name in _OF_ONE_ASSET:
        evaluate = partial(_OF_ONE_ASSET[rule.name], asset=table)
    else:
        evaluate = _OF_ALL[rule.name]
    spec = dg.AssetCheckSpec(
        rule.name,
        asset=asset.split("/"),
        description=rule.question,
        additional_deps=_AFTER.get(rule.name),
        blocking=asset == "marts/reconciliation",
    )
    return spec, rule, evaluate


def _checks_of(*assets: str) -> list[Check]:
    """The declared checks of some assets, in the order of the rulebook."""
    return [check_of(rule, asset) for rule in RULES for asset in assets if asset in rule.assets]


def _steps() -> Iterator[dg.AssetChecksDefinition]:
    for table in LANDED_TABLES:
        yield checks_step(f"{table}_checks", _checks_of(f"raw/{table}"))
    marts = ("marts/reconciliation", "marts/metric_facts", "marts/anomalies")
    yield checks_step("marts_checks", _checks_of(*marts))


quality_checks: list[dg.AssetChecksDefinition] = list(_steps())

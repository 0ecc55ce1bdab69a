"""The asset checks as Dagster runs them: one light step per raw asset, one for the marts.

They carry no partitions definition: Dagster 1.13 evaluates a check once in a ranged run and stores
the result without a partition. So that it says which dates are meant, every result names the dates
it looked at and its bad days in its metadata.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import dagster as dg

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.anomalies import check_anomalies
from meta_ads_pipeline.quality.completeness import check_completeness
from meta_ads_pipeline.quality.hierarchy import check_hierarchy
from meta_ads_pipeline.quality.raw_models import LANDED_TABLES, LandedTable
from meta_ads_pipeline.quality.reconciliation import check_reconciliation
from meta_ads_pipeline.quality.schema_checks import check_landed_table
from meta_ads_pipeline.quality.scope import CheckScope, scope_of
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource

Evaluate: TypeAlias = Callable[[Database, CheckScope], dg.AssetCheckResult]
Check: TypeAlias = tuple[dg.AssetCheckSpec, Evaluate]


def checks_step(name: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """One step that evaluates those of its checks that the run selected, over the run's scope."""

    @dg.multi_asset_check(name=name, specs=[spec for spec, _ in checks], can_subset=True)
    def step(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource, meta: MetaAdsResource
    ) -> Iterator[dg.AssetCheckResult]:
        scope = scope_of(context, database, meta)
        for spec, evaluate in checks:
            if spec.key in context.selected_asset_check_keys:
                result = evaluate(database.database, scope)
                yield result._replace(
                    asset_key=spec.asset_key,
                    check_name=spec.name,
                    metadata={"dates": _dates(scope), **result.metadata},
                )

    return step


def _dates(scope: CheckScope) -> dg.MetadataValue:
    return dg.MetadataValue.text(f"{scope.window.start}..{scope.window.end}")


def _schema(table: LandedTable) -> Check:
    def evaluate(database: Database, scope: CheckScope) -> dg.AssetCheckResult:
        violations = check_landed_table(database, table, scope)
        return dg.AssetCheckResult(
            passed=violations.passed,
            severity=violations.severity,
            description=violations.description(),
            metadata=violations.metadata(),
        )

    spec = dg.AssetCheckSpec(
        "schema",
        asset=["raw", table.asset],
        description=f"Every landed row is what its model says: {table.model.__name__}.",
    )
    return spec, evaluate


def _completeness(asset: str) -> Check:
    def evaluate(database: Database, scope: CheckScope) -> dg.AssetCheckResult:
        found = check_completeness(database, asset, scope)
        return dg.AssetCheckResult(
            passed=found.passed, description=found.description(), metadata=found.metadata()
        )

    spec = dg.AssetCheckSpec(
        "completeness",
        asset=["raw", asset],
        description="Every ad account has a done slice of every date that has begun.",
    )
    return spec, evaluate


def _reconciliation(database: Database, scope: CheckScope) -> dg.AssetCheckResult:
    found = check_reconciliation(database, scope)
    return dg.AssetCheckResult(
        passed=found.passed, description=found.description(), metadata=found.metadata()
    )


def _hierarchy(database: Database, scope: CheckScope) -> dg.AssetCheckResult:
    violations = check_hierarchy(database, scope)
    return dg.AssetCheckResult(
        passed=violations.passed,
        description=violations.description("ads with facts"),
        metadata=violations.metadata(),
    )


def _anomalies(database: Database, scope: CheckScope) -> dg.AssetCheckResult:
    found = check_anomalies(database, scope)
    return dg.AssetCheckResult(
        passed=found.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=found.description(),
        metadata=found.metadata(),
    )


def _raw_steps() -> Iterator[dg.AssetChecksDefinition]:
    for table in LANDED_TABLES.values():
        checks = [_schema(table)]
        if table.asset != "ad_accounts":  # the accounts are what the slices are counted by
            checks.append(_completeness(table.asset))
        yield checks_step(f"{table.asset}_checks", checks)


def _marts_step() -> dg.AssetChecksDefinition:
    reconciliation = dg.AssetCheckSpec(
        "reconciliation",
        asset=["marts", "reconciliation"],
        description="The three pulls of every account-day agree.",
        blocking=True,
    )
    hierarchy = dg.AssetCheckSpec(
        "hierarchy",
        asset=["marts", "metric_facts"],
        description="No fact without its ad, its ad set and its campaign.",
    )
    anomalies = dg.AssetCheckSpec(
        "anomalies",
        asset=["marts", "anomalies"],
        description="Nothing unusual happened on these dates.",
    )
    return checks_step(
        "marts_checks",
        [(reconciliation, _reconciliation), (hierarchy, _hierarchy), (anomalies, _anomalies)],
    )


quality_checks: list[dg.AssetChecksDefinition] = [*_raw_steps(), _marts_step()]

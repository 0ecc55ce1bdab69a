"""The gate between the landed rows and the marts.

Dagster starts dbt when the raw assets are there, whatever their checks have said so far. So the
checks of the landed insights are evaluated by an asset of its own between both: what it writes to
``control.check_results``, dbt reads, and what failed stays out of the facts. It holds back single
account-days, where a blocking check of Dagster's would have stopped all of them.
"""

from collections import Counter, defaultdict
from datetime import date

import dagster as dg

from meta_ads_pipeline.control.check_results import blocked_days
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.partitions import (
    add_partition_metadata,
    daily_partitions,
    materialize_only,
    single_run,
)
from meta_ads_pipeline.quality.catalogue import RULES
from meta_ads_pipeline.quality.discrepancies import update_discrepancy_alerts
from meta_ads_pipeline.quality.mismatches import update_slices
from meta_ads_pipeline.quality.runner import run_check
from meta_ads_pipeline.quality.scope import CheckScope, scope_of
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource

GATE = dg.AssetKey(["control", "check_results"])


def close_gate(database: Database, scope: CheckScope) -> dict[tuple[str, date], str]:
    """Judge the scope's landed insights; returns the account-days that stay out of the facts.

    With the reason in words. The slices at fault are marked, so that they are pulled again after
    a delay that grows. Raises ``DatabaseError`` when the server cannot be reached.
    """
    for asset in INSIGHTS_TABLES:
        reasons: dict[tuple[str, date], list[str]] = defaultdict(list)
        for rule in RULES:
            if rule.severity != "block" or f"raw/{asset}" not in rule.assets:
                continue
            for result in run_check(database, rule, f"raw/{asset}", scope).days:
                if result.status == "failed" and result.event_date:
                    reasons[result.account_id, result.event_date].append(
                        f"{rule.name}: {result.message}"
                    )
        mismatched = {day: "; ".join(said) for day, said in reasons.items()}
        update_slices(database, mismatched, (), assets=(asset,))
    update_discrepancy_alerts(database)
    return blocked_days(database, scope.account_ids, scope.window.start, scope.window.end)


@dg.asset(
    key=GATE,
    deps=[dg.AssetKey(["raw", name]) for name in ("ad_accounts", *INSIGHTS_TABLES)],
    partitions_def=daily_partitions,
    backfill_policy=single_run,
    group_name="quality",
    kinds={"python", "postgres"},
    description="The gate: which account-days of the landed insights may move into the facts. "
    "What fails a blocking check stays out until a re-pull passes.",
    metadata={"dagster/table_name": "control.check_results"},
)
def check_results(
    context: dg.AssetExecutionContext, database: DatabaseResource, meta: MetaAdsResource
) -> dg.Output[None]:
    """Evaluate and keep the checks of the run's landed insights, before dbt reads them."""
    held = close_gate(database.database, scope_of(context, database, meta))
    for (account_id, day), reason in sorted(held.items()):
        context.log.warning(f"act_{account_id} {day} stays out of the facts: {reason}")
    by_date = Counter(day.isoformat() for _, day in held)
    counts = {key: {"account_days_held_back": by_date[key]} for key in context.partition_keys}
    red = {
        day.isoformat(): "; ".join(
            f"act_{account_id}: {reason}" for (account_id, on), reason in held.items() if on == day
        )
        for _, day in held
    }
    if red:
        return dg.Output(None, metadata=materialize_only(context, GATE, red, counts))
    add_partition_metadata(context, GATE, counts)
    return dg.Output(None)

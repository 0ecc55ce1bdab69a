"""The raw assets: what Meta says, per account and date, landed slice by slice.

Every asset is partitioned by date and a range of dates is one run. The fan-out over ad accounts is
inside: an account's failure leaves the others' slices done and is recorded on its own slices. No
such failure stops what follows, so that facts wait for nothing but their own three pulls; in the
end ``control/sync_results`` fails for the dates on which something is not done, and so the run.
In a run that leaves it out, the last step that is there fails at its end.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from meta_ads_pipeline.control.account_days import complete_accounts, undone_dates
from meta_ads_pipeline.control.accounts import Account, accounts_of_run
from meta_ads_pipeline.control.slices import SliceKey, UndoneSlice, undone_under
from meta_ads_pipeline.credentials.brief_budget import budget_rules
from meta_ads_pipeline.credentials.checks import revalidate_paused
from meta_ads_pipeline.insights_tables import (
    DAILY_TABLE,
    HOURLY_TABLE,
    REACH_TABLE,
    TOTALS_TABLE,
    InsightsTable,
)
from meta_ads_pipeline.logs import log_context
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.partitions import daily_partitions, materialize_only, single_run
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.raw.failures import describe, mark_undone
from meta_ads_pipeline.raw.fan_out import FanOut, for_each_account
from meta_ads_pipeline.raw.kept_dates import askable
from meta_ads_pipeline.raw.pull_connected import pull_connected_accounts
from meta_ads_pipeline.raw.pull_custom_conversions import pull_custom_conversions
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.raw.pull_reach import pull_reach
from meta_ads_pipeline.raw.refused_fields import record_refused_fields
from meta_ads_pipeline.raw.waits_told import waits_told
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.run_tags import (
    ACCOUNTS_TAG,
    CHANGED_HOURS,
    HOURS_TAG,
    REFRESH_TAG,
    SYNC_TAG,
    requested_by,
)
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.windows import window_of_keys

SYNC_RESULTS = dg.AssetKey(["control", "sync_results"])
"""What the run was to pull: fails where something is not done, once everything else is."""


def _asset(
    name: str, description: str, deps: Sequence[str] = ("ad_accounts",)
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    return dg.asset(
        key=["raw", name],
        description=description,
        deps=[dg.AssetKey(["raw", dep]) for dep in deps],
        partitions_def=daily_partitions,
        backfill_policy=single_run,
        group_name="raw",
        kinds={"python", "postgres"},
        metadata={"dagster/relation_identifier": f"raw.{name}"},
    )


def sync_id_of(context: dg.AssetExecutionContext) -> str:
    """The sync a run belongs to: its tag, else its backfill, else itself.

    What an earlier run did is skipped by automatic retries and by re-execution from the failure:
    they go on with its sync. Whoever re-executes all wants all of it anew.
    """
    run = context.run
    if run.parent_run_id is not None:
        if not _CONTINUES & run.tags.keys():
            return run.run_id
        parent = context.instance.get_run_by_id(run.parent_run_id)
        if parent is not None and parent.parent_run_id is not None and SYNC_TAG not in run.tags:
            # A chain: it goes on with what the nearest run that began anew has done.
            while parent.parent_run_id is not None and _CONTINUES & parent.tags.keys():
                above = context.instance.get_run_by_id(parent.parent_run_id)
                if above is None:
                    break
                parent = above
            return str(parent.run_id)
    return (
        run.tags.get(SYNC_TAG) or run.tags.get("dagster/backfill") or run.root_run_id or run.run_id
    )


_CONTINUES = frozenset(
    {"dagster/is_resume_retry", "dagster/is_asset_resume_retry", "dagster/retry_number"}
)
"""Run tags of a run that goes on where its parent failed."""


def _pull_context(context: dg.AssetExecutionContext) -> PullContext:
    def log(report: SliceReport) -> None:
        context.log.debug(
            f"{report.asset} act_{report.account_id} {report.partition_date}: "
            f"{report.inserted} inserted, {report.updated} updated, {report.deleted} deleted, "
            f"{report.unchanged} unchanged"
        )

    return PullContext(
        sync_id=sync_id_of(context),
        run_id=context.run_id,
        progress=log,
        refresh=context.run.tags.get(REFRESH_TAG),
        changed_hours=context.run.tags.get(HOURS_TAG) == CHANGED_HOURS,
        requested_by=requested_by(context.run.tags),
        api_version=get_settings().api_version,
    )


def _chosen_account_ids(context: dg.AssetExecutionContext, meta: MetaAdsResource) -> list[str]:
    """The accounts the run's tag names, else those of the settings; empty: every active one."""
    return _named_account_ids(context) or list(meta.account_ids)


def _named_account_ids(context: dg.AssetExecutionContext) -> list[str]:
    return [part for part in context.run.tags.get(ACCOUNTS_TAG, "").split(",") if part]


def _accounts(
    context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
) -> list[Account]:
    return accounts_of_run(database.database, _named_account_ids(context), meta.account_ids)


def _pull(
    context: dg.AssetExecutionContext,
    meta: MetaAdsResource,
    database: DatabaseResource,
    pull: Callable[[Account, list[date], PullContext], list[SliceReport]],
    request: str | None = None,
) -> dg.Output[None]:
    """Pull the run's dates for every account, then report per date.

    A date on which an active account's slice is not done is not materialized.

    A failure is on its slices; ``control/sync_results`` fails for it. In a run without that the
    marts do, in the end, and in a run without those this does.

    ``request``: the client's name for this kind of request, to tell which fields Meta refused.
    """
    now = datetime.now(UTC)
    dates = window_of_keys(context.partition_keys).dates
    pull_context, asset = _pull_context(context), context.asset_key.path[-1]

    # A run over dates that an account is missing on is about that account: the others are whole.
    is_plain = not {SYNC_TAG, REFRESH_TAG} & context.run.tags.keys() and (
        context.run.parent_run_id is None
    )
    whole = complete_accounts(database.database, asset, dates) if is_plain else {}

    def work(account: Account) -> list[SliceReport]:
        asked = database.database.run(
            lambda connection: askable(connection, account, asset, dates, pull_context.attempt, now)
        )
        days = [day for day in asked if day not in whole.get(account.account_id, ())]
        try:
            with log_context(
                run_id=context.run_id,
                sync_id=pull_context.sync_id,
                asset=asset,
                account_id=account.account_id,
                dates=f"{dates[0]}..{dates[-1]}",
            ):
                return pull(account, days, pull_context)
        except Exception as error:
            key = SliceKey(account.account_id, asset)
            mark_undone(database.database, key, days, pull_context.attempt, error)
            raise

    accounts = _accounts(context, meta, database)
    rules = budget_rules(get_settings())
    with waits_told(database.database, rules, context.log.info) as waited_for:
        fan_out = for_each_account(accounts, work, max_workers=meta.max_parallel_accounts)
    pulled = [a.account_id for a in accounts if a.account_id not in fan_out.failures]
    if request is not None and pulled:
        clients = {id(client): client for client in map(meta.client_for, pulled)}
        refused = record_refused_fields(
            database.database,
            context.asset_key.path[-1],
            request,
            [client.dropped_fields for client in clients.values()],
        )
        for field, reason in refused.items():
            context.log.warning(f"Meta refuses the field {field}: {reason}")
    return _report(context, database, fan_out, list(waited_for.values()))


def _report(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    fan_out: FanOut,
    waited_for: Sequence[str],
) -> dg.Output[None]:
    by_date: dict[str, list[SliceReport]] = defaultdict(list)
    for report in fan_out.reports:
        by_date[report.partition_date.isoformat()].append(report)
    metadata: dict[str, dict[str, Any]] = {}
    for key in context.partition_keys:
        reports = by_date.get(key, [])
        metadata[key] = {
            "dagster/partition_row_count": sum(r.row_count for r in reports),
            "accounts": len(reports),
            "inserted": sum(r.inserted for r in reports),
            "updated": sum(r.updated for r in reports),
            "deleted": sum(r.deleted for r in reports),
            "unchanged": sum(r.unchanged for r in reports),
            "dead_lettered": sum(r.dead_lettered for r in reports),
            "failed_accounts": ", ".join(sorted(fan_out.failures)) or "none",
            **({"waited_for": "; ".join(waited_for)} if waited_for else {}),
        }
    for account_id, error in sorted(fan_out.failures.items()):
        context.log.error(f"act_{account_id} failed: {describe(error)}")
    if fan_out.failures and not _is_followed(context):
        _fail_for(context, undone_of_run(context, database, context.asset_key.path[-1]))
    dates = window_of_keys(context.partition_keys).dates
    red = undone_dates(database.database, context.asset_key.path[-1], dates)
    if red:
        return dg.Output(
            None,
            metadata=materialize_only(
                context,
                context.asset_key,
                {day.isoformat(): reason for day, reason in red.items()},
                metadata,
            ),
        )
    for key, values in metadata.items():
        context.add_asset_metadata(values, partition_key=key)
    return dg.Output(None)


def _is_followed(context: dg.AssetExecutionContext) -> bool:
    """Whether the run has something that a failure of this step would keep from being done."""
    return any(key == SYNC_RESULTS or key.path[0] == "marts" for key in _keys_of_run(context))


def _keys_of_run(context: dg.AssetExecutionContext) -> set[dg.AssetKey]:
    return set(context.op_execution_context.job_def.asset_layer.executable_asset_keys)


def pulls_anything(context: dg.AssetExecutionContext) -> bool:
    """Whether the run has raw assets: one of marts alone was started to have them built."""
    return any(key.path[0] == "raw" for key in _keys_of_run(context))


def fail_for_what_was_not_pulled(
    context: dg.AssetExecutionContext, database: DatabaseResource
) -> None:
    """Raise ``dg.Failure`` for pulls of the run that are not done and that nothing else tells of.

    For the end of the last step of a run: where the run pulls and was chosen without
    ``control/sync_results``, it would be green although an account is missing.
    """
    keys = _keys_of_run(context)
    if SYNC_RESULTS in keys or not pulls_anything(context):
        return
    undone = undone_of_run(context, database)
    if undone:
        raise _not_done(undone)


def undone_of_run(
    context: dg.AssetExecutionContext, database: DatabaseResource, asset: str | None = None
) -> list[UndoneSlice]:
    """What the run's sync left undone of the run's dates (of one asset, where given)."""
    dates = window_of_keys(context.partition_keys).dates
    undone = database.database.run(
        lambda connection: undone_under(connection, sync_id_of(context), dates)
    )
    return [each for each in undone if asset is None or each.asset == asset]


def _fail_for(context: dg.AssetExecutionContext, undone: Sequence[UndoneSlice]) -> None:
    """Materialize the dates on which all is done, then raise ``dg.Failure`` for the others."""
    if not undone:
        return
    red = {each.partition_date.isoformat() for each in undone}
    for key in context.partition_keys:
        if key not in red:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key))
    raise _not_done(undone)


def _not_done(undone: Sequence[UndoneSlice]) -> dg.Failure:
    counts = Counter((each.account_id, each.asset) for each in undone)
    return dg.Failure(
        description="not done: "
        + "; ".join(
            f"{asset} of act_{account_id} ({count} {'date' if count == 1 else 'dates'})"
            for (account_id, asset), count in counts.items()
        ),
        metadata={f"{e.asset} act_{e.account_id}": e.message or "interrupted" for e in undone},
        allow_retries=False,
    )


@_asset("ad_accounts", "The ad accounts the token reads: name, currency, timezone.", deps=())
def ad_accounts(
    context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
) -> dg.MaterializeResult[None]:
    """Read the accounts once per run; every date of the range gets the same state."""
    revalidate_paused(database.database, get_settings(), datetime.now(UTC))
    pulled = pull_connected_accounts(
        database.database,
        meta.clients,
        only=_chosen_account_ids(context, meta),
        even_stopped=bool(_named_account_ids(context)),
        ctx=_pull_context(context),
    )
    accounts = pulled.accounts
    for label, error in pulled.failures.items():
        context.log.error(f"connection {label} failed: {describe(error)}")
    for account_id, reason in pulled.left_out.items():
        context.log.error(f"act_{account_id} is left out: {reason}")
    return dg.MaterializeResult(
        metadata={
            "accounts": len(accounts),
            "failed_connections": ", ".join(sorted(pulled.failures)) or "none",
            "left_out": ", ".join(sorted(pulled.left_out)) or "none",
            "table": dg.MetadataValue.md(
                "| account | name | currency | timezone |\n|-|-|-|-|\n"
                + "\n".join(
                    f"| {a.account_id} | {a.name} | {a.currency} | {a.timezone} |" for a in accounts
                )
            ),
        }
    )


def _insights_asset(
    table: InsightsTable, description: str, deps: Sequence[str] = ("ad_accounts",)
) -> dg.AssetsDefinition:
    @_asset(table.asset, description, deps)
    def insights(
        context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
    ) -> dg.Output[None]:
        return _pull(
            context,
            meta,
            database,
            lambda account, dates, ctx: pull_insights(
                database.database,
                meta.client_for(account.account_id),
                account,
                table.asset,
                dates,
                ctx,
            ),
            request=f"insights/{table.level}/{table.grain}",
        )

    return insights


def _entity_asset(
    name: str, kind: Kind, description: str, deps: Sequence[str]
) -> dg.AssetsDefinition:
    @_asset(name, description, deps)
    def entities(
        context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
    ) -> dg.Output[None]:
        return _pull(
            context,
            meta,
            database,
            lambda account, dates, ctx: pull_entities(
                database.database,
                meta.client_for(account.account_id),
                account,
                kind,
                dates,
                ctx,
            ),
            request=kind,
        )

    return entities


insights_hourly = _insights_asset(
    HOURLY_TABLE,
    "Ad x hour: spend, impressions, clicks, link clicks, on-Meta actions.",
    # The days tell how many hours to expect and, in a refresh, which of them to read at all.
    ("ad_accounts", DAILY_TABLE.asset),
)
insights_daily = _insights_asset(
    DAILY_TABLE, "Ad x day: the same plus every action and its value; where conversions are."
)
account_totals = _insights_asset(
    TOTALS_TABLE, "Account x day: the control total, what Ads Manager shows."
)
ads = _entity_asset(
    "ads",
    "ad",
    "Ads, current state: listed, then read by id where facts refer to one the list omits.",
    ("ad_accounts", DAILY_TABLE.asset, HOURLY_TABLE.asset),
)
adsets = _entity_asset("adsets", "adset", "Ad sets, current state.", ("ad_accounts", "ads"))
campaigns = _entity_asset(
    "campaigns", "campaign", "Campaigns, current state.", ("ad_accounts", "adsets")
)
creatives = _entity_asset("creatives", "creative", "Ad creatives, current state.", ("ads",))


@_asset(
    "custom_conversions",
    "Custom conversions, current state: names and rules of the conversions people define.",
)
def custom_conversions(
    context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
) -> dg.Output[None]:
    """Names only: where Meta refuses the list, numbers go on without."""
    return _pull(
        context,
        meta,
        database,
        lambda account, dates, ctx: pull_custom_conversions(
            database.database, meta.client_for(account.account_id), account, dates, ctx
        ),
        request="custom_conversion",
    )


@_asset(
    REACH_TABLE.asset,
    "Account, campaign, ad set x day, 7 days, 28 days, month: reach, frequency, unique clicks.",
)
def insights_reach(
    context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
) -> dg.Output[None]:
    """What cannot be summed, asked for at each level and period."""
    return _pull(
        context,
        meta,
        database,
        lambda account, dates, ctx: pull_reach(
            database.database, meta.client_for(account.account_id), account, dates, ctx
        ),
    )


_LANDED = [
    ad_accounts,
    insights_hourly,
    insights_daily,
    account_totals,
    ads,
    adsets,
    campaigns,
    creatives,
    custom_conversions,
    # Without it the table is external to the code location, and the marts are built from what it
    # holds.
    *([insights_reach] if get_settings().reach else []),
]


@dg.asset(
    key=SYNC_RESULTS,
    deps=[asset.key for asset in _LANDED],
    partitions_def=daily_partitions,
    backfill_policy=single_run,
    group_name="raw",
    kinds={"python", "postgres"},
    description="Whether every slice (account, date, asset) of the run is done. Fails for the "
    "dates on which one is not; the marts are built all the same, from what has landed.",
    metadata={"dagster/relation_identifier": "control.slices"},
)
def sync_results(context: dg.AssetExecutionContext, database: DatabaseResource) -> None:
    """Nothing waits for this: a failure here is what tells of one anywhere above."""
    _fail_for(context, undone_of_run(context, database))


raw_assets = [*_LANDED, sync_results]

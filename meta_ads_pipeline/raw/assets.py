"""The raw assets: what Meta says, per account and date, landed slice by slice.

Every asset is partitioned by date and a range of dates is one run. The fan-out over ad accounts is
inside: an account's failure leaves the others' slices done and is recorded on its own slices. No
such failure stops what follows, so that facts wait for nothing but their own three pulls; in the
end ``control/sync_results`` fails for the dates on which something is not done, and so the run.
In a run that leaves it out, the last step that is there fails at its end.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from meta_ads_pipeline.control.account_days import complete_accounts, undone_dates
from meta_ads_pipeline.control.accounts import Account, accounts_of_run
from meta_ads_pipeline.control.database import Database
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
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.partitions import (
    add_partition_metadata,
    daily_partitions,
    materialize_only,
    single_run,
)
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.raw.failures import describe, mark_undone
from meta_ads_pipeline.raw.fan_out import Pull, Pulled, pull_side_by_side
from meta_ads_pipeline.raw.first_change import row_changed
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


def _spec(name: str, description: str, deps: Sequence[str] = ("ad_accounts",)) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=["raw", name],
        description=description,
        deps=[dg.AssetKey(["raw", dep]) for dep in deps],
        group_name="raw",
        kinds={"python", "postgres"},
        metadata={"dagster/table_name": f"raw.{name}"},
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
    def log(reports: Sequence[SliceReport]) -> None:
        # A line for all of them: each is a record of Dagster's, and a year of an account has
        # thousands of slices. Their own counts are in control.slice_loads.
        days = [report.partition_date for report in reports]
        inserted, updated, deleted, unchanged = (
            sum(getattr(report, name) for report in reports)
            for name in ("inserted", "updated", "deleted", "unchanged")
        )
        context.log.debug(
            f"{reports[0].asset} act_{reports[0].account_id}, {len(days)} of {min(days)} to "
            f"{max(days)}: {inserted} inserted, {updated} updated, {deleted} deleted, "
            f"{unchanged} unchanged"
        )
        if inserted or updated or deleted:
            row_changed()

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


@dataclass(frozen=True)
class _Landed:
    """An asset that is pulled account by account.

    ``request``: the client's name for this kind of request, to tell which fields Meta refused.
    """

    spec: dg.AssetSpec
    pull: Callable[
        [Database, MetaAdsClient, Account, Sequence[date], PullContext], list[SliceReport]
    ]
    request: str | None = None

    @property
    def name(self) -> str:
        return self.spec.key.path[-1]

    @property
    def upstream(self) -> list[str]:
        return [dep.asset_key.path[-1] for dep in self.spec.deps]


def _pull_of(
    context: dg.AssetExecutionContext,
    meta: MetaAdsResource,
    database: Database,
    asset: _Landed,
    pull_context: PullContext,
) -> Callable[[Account, Callable[[], None]], list[SliceReport]]:
    """The pull of the run's dates for one account."""
    now = datetime.now(UTC)
    dates = window_of_keys(context.partition_keys).dates
    name = asset.name

    # A run over dates that an account is missing on is about that account: the others are whole.
    is_plain = not {SYNC_TAG, REFRESH_TAG} & context.run.tags.keys() and (
        context.run.parent_run_id is None
    )
    whole = complete_accounts(database, name, dates) if is_plain else {}

    def work(account: Account, upstream_over: Callable[[], None]) -> list[SliceReport]:
        asked = database.run(
            lambda connection: askable(connection, account, name, dates, pull_context.attempt, now)
        )
        days = [day for day in asked if day not in whole.get(account.account_id, ())]
        try:
            with log_context(
                run_id=context.run_id,
                sync_id=pull_context.sync_id,
                asset=name,
                account_id=account.account_id,
                dates=f"{dates[0]}..{dates[-1]}",
            ):
                client = meta.client_for(account.account_id)
                ctx = replace(pull_context, upstream_over=upstream_over)
                return asset.pull(database, client, account, days, ctx)
        except Exception as error:
            key = SliceKey(account.account_id, name)
            mark_undone(database, key, days, pull_context.attempt, error)
            raise

    return work


def _tell_refused_fields(
    context: dg.AssetExecutionContext,
    meta: MetaAdsResource,
    database: Database,
    asset: _Landed,
    accounts: Sequence[Account],
) -> None:
    """Keep and say which fields Meta refused for the accounts that were read."""
    if asset.request is None or not accounts:
        return
    clients = {id(client): client for client in (meta.client_for(a.account_id) for a in accounts)}
    refused = record_refused_fields(
        database,
        asset.name,
        asset.request,
        [client.dropped_fields for client in clients.values()],
    )
    for field, reason in refused.items():
        context.log.warning(f"Meta refuses the field {field}: {reason}")


def _report(
    context: dg.AssetExecutionContext,
    database: Database,
    asset: dg.AssetKey,
    found: Pulled,
    waited_for: Sequence[str],
) -> dg.Output[None]:
    """The asset's output, with counts per date.

    A date on which an active account's slice is not done is not materialized.
    """
    by_date: dict[str, list[SliceReport]] = defaultdict(list)
    for report in found.reports:
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
            "failed_accounts": ", ".join(sorted(found.failures)) or "none",
            **({"waited_for": "; ".join(waited_for)} if waited_for else {}),
        }
    for account_id, error in sorted(found.failures.items()):
        context.log.error(f"{asset.path[-1]} of act_{account_id} failed: {describe(error)}")
    output = asset.to_python_identifier()
    red = undone_dates(database, asset.path[-1], window_of_keys(context.partition_keys).dates)
    if red:
        reasons = {day.isoformat(): reason for day, reason in red.items()}
        values = materialize_only(context, asset, reasons, metadata)
        return dg.Output(None, output_name=output, metadata=values)
    add_partition_metadata(context, asset, metadata)
    return dg.Output(None, output_name=output)


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


@dg.asset(
    key=["raw", "ad_accounts"],
    partitions_def=daily_partitions,
    backfill_policy=single_run,
    group_name="raw",
    kinds={"python", "postgres"},
    description="The ad accounts the token reads: name, currency, timezone.",
    metadata={"dagster/table_name": "raw.ad_accounts"},
)
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
    for label, incomplete in pulled.incomplete.items():
        context.log.error(f"connection {label}: not all ad accounts are listed: {incomplete}")
    for account_id, reason in pulled.left_out.items():
        context.log.error(f"act_{account_id} is left out: {reason}")
    return dg.MaterializeResult(
        metadata={
            "accounts": len(accounts),
            "failed_connections": ", ".join(sorted(pulled.failures)) or "none",
            "incomplete_lists": ", ".join(sorted(pulled.incomplete)) or "none",
            "left_out": ", ".join(sorted(pulled.left_out)) or "none",
            "table": dg.MetadataValue.md(
                "| account | name | currency | timezone |\n|-|-|-|-|\n"
                + "\n".join(
                    f"| {a.account_id} | {a.name} | {a.currency} | {a.timezone} |" for a in accounts
                )
            ),
        }
    )


def _insights(
    table: InsightsTable, description: str, deps: Sequence[str] = ("ad_accounts",)
) -> _Landed:
    return _Landed(
        _spec(table.asset, description, deps),
        lambda database, client, account, dates, ctx: pull_insights(
            database, client, account, table.asset, dates, ctx
        ),
        f"insights/{table.level}/{table.grain}",
    )


def _entities(name: str, kind: Kind, description: str, deps: Sequence[str]) -> _Landed:
    return _Landed(
        _spec(name, description, deps),
        lambda database, client, account, dates, ctx: pull_entities(
            database, client, account, kind, dates, ctx
        ),
        kind,
    )


_LANDED = (
    _insights(
        DAILY_TABLE, "Ad x day: the same plus every action and its value; where conversions are."
    ),
    _insights(TOTALS_TABLE, "Account x day: the control total, what Ads Manager shows."),
    _insights(
        HOURLY_TABLE,
        "Ad x hour: spend, impressions, clicks, link clicks, on-Meta actions.",
        # The days tell how many hours to expect and, in a refresh, which of them to read at all.
        ("ad_accounts", DAILY_TABLE.asset),
    ),
    _entities(
        "ads",
        "ad",
        "Ads, current state: listed, then read by id where facts refer to one the list omits.",
        ("ad_accounts", DAILY_TABLE.asset, HOURLY_TABLE.asset),
    ),
    _entities("adsets", "adset", "Ad sets, current state.", ("ad_accounts", "ads")),
    _entities("campaigns", "campaign", "Campaigns, current state.", ("ad_accounts", "adsets")),
    _entities("creatives", "creative", "Ad creatives, current state.", ("ad_accounts", "ads")),
    _Landed(
        _spec(
            "custom_conversions",
            "Custom conversions, current state: names and rules of the conversions people define.",
        ),
        pull_custom_conversions,
        "custom_conversion",
    ),
    # Without it the table is external to the code location, and the marts are built from what it
    # holds.
    *(
        [
            _Landed(
                _spec(
                    REACH_TABLE.asset,
                    "Account, campaign, ad set x day, 7 days, 28 days, month: reach, frequency, "
                    "unique clicks.",
                ),
                pull_reach,
            )
        ]
        if get_settings().reach
        else []
    ),
)
"""Each comes after those that it waits for."""


@dg.multi_asset(
    specs=[each.spec for each in _LANDED],
    can_subset=True,
    partitions_def=daily_partitions,
    backfill_policy=single_run,
)
def pulls(
    context: dg.AssetExecutionContext, meta: MetaAdsResource, database: DatabaseResource
) -> Iterator[dg.Output[None]]:
    """Pull the run's dates for every account, all assets side by side.

    An asset is reported as soon as its last account is over. A failure is on its slices;
    ``control/sync_results`` fails for it. In a run without that the marts do, in the end, and in a
    run without those this does.
    """
    chosen = {each.name: each for each in _LANDED if each.spec.key in context.selected_asset_keys}
    accounts = accounts_of_run(database.database, _named_account_ids(context), meta.account_ids)
    rules, pull_context = budget_rules(get_settings()), _pull_context(context)
    work = {
        name: Pull(
            _pull_of(context, meta, database.database, each, pull_context),
            [other for other in each.upstream if other in chosen],
        )
        for name, each in chosen.items()
    }
    failed = False
    with (
        waits_told(database.database, rules, context.log.info) as waited_for,
        closing(pull_side_by_side(accounts, work, meta.max_parallel_accounts)) as ended,
    ):
        for name, found in ended:
            read = [each for each in accounts if each.account_id not in found.failures]
            _tell_refused_fields(context, meta, database.database, chosen[name], read)
            failed |= bool(found.failures)
            key = chosen[name].spec.key
            yield _report(context, database.database, key, found, list(waited_for.values()))
    if failed and not _is_followed(context):
        undone = [each for each in undone_of_run(context, database) if each.asset in chosen]
        if undone:
            raise _not_done(undone)


@dg.asset(
    key=SYNC_RESULTS,
    deps=[ad_accounts.key, *(each.spec.key for each in _LANDED)],
    partitions_def=daily_partitions,
    backfill_policy=single_run,
    group_name="raw",
    kinds={"python", "postgres"},
    description="Whether every slice (account, date, asset) of the run is done. Fails for the "
    "dates on which one is not; the marts are built all the same, from what has landed.",
    metadata={"dagster/table_name": "control.slices"},
)
def sync_results(context: dg.AssetExecutionContext, database: DatabaseResource) -> None:
    """Nothing waits for this: a failure here is what tells of one anywhere above."""
    undone = undone_of_run(context, database)
    if not undone:
        return
    red = {each.partition_date.isoformat() for each in undone}
    for key in context.partition_keys:
        if key not in red:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key))
    raise _not_done(undone)


raw_assets = [ad_accounts, pulls, sync_results]

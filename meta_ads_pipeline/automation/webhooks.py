"""The sensor that follows webhooks: an announced object is read again, then dimensions are built.

A webhook is a hint and says nothing that could be stored instead. The read happens in the tick (one
call for up to a hundred objects of a kind), and so does building the dimensions; where a run is
writing the marts, or much is to be built, it is a run that waits for its turn.
"""

from collections import defaultdict
from datetime import UTC, datetime

import dagster as dg

from meta_ads_pipeline.automation.default_status import sensor_status
from meta_ads_pipeline.automation.jobs import dimensions_job
from meta_ads_pipeline.automation.runs import unfinished_run
from meta_ads_pipeline.automation.windows import range_tags
from meta_ads_pipeline.control import webhook_events
from meta_ads_pipeline.control.accounts import active_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.webhook_events import AnnouncedObject
from meta_ads_pipeline.raw.entities import ENTITY_TABLES
from meta_ads_pipeline.raw.reread import reread_objects
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.transform.dbt_cli import DbtCli
from meta_ads_pipeline.transform.dimensions import DIMENSIONS, build_dimensions_now
from meta_ads_pipeline.windows import DateWindow, local_today

WEBHOOKS = "webhooks"

MOST_OBJECTS = 400
"""Of one tick, which the daemon ends after a minute; the next tick resumes."""


def reread_announced(
    database: Database, meta: MetaAdsResource, now: datetime
) -> dict[str, list[str]]:
    """Read the due objects of all active accounts again; returns ids by raw asset."""
    accounts = {each.account_id: each for each in active_accounts(database)}
    by_account: dict[str, list[AnnouncedObject]] = defaultdict(list)
    for each in webhook_events.due_objects(database, list(accounts), now, limit=MOST_OBJECTS):
        by_account[each.account_id].append(each)
    landed: dict[str, list[str]] = defaultdict(list)
    for account_id, objects in by_account.items():
        client = meta.client_for(account_id)
        found = reread_objects(database, client, accounts[account_id], objects)
        for kind, ids in found.landed.items():
            landed[ENTITY_TABLES[kind].asset] += ids
        for each in objects:
            reason = found.failed.get(each.object_id)
            if reason is None:
                webhook_events.finish(database, each.event_ids, datetime.now(UTC))
            else:
                webhook_events.fail(database, each.event_ids, reason, datetime.now(UTC))
    return landed


@dg.sensor(
    job=dimensions_job,
    minimum_interval_seconds=5,
    default_status=sensor_status(get_settings()),
    description="Reads the objects that Meta's webhooks announce as changed again, and has the "
    "dimensions built.",
)
def follow_webhooks(
    context: dg.SensorEvaluationContext,
    database: DatabaseResource,
    meta: MetaAdsResource,
    dbt: DbtCli,
) -> dg.SensorResult | dg.SkipReason:
    """Build for what was read since the last time; the cursor is the last event it covers."""
    now = datetime.now(UTC)
    landed = reread_announced(database.database, meta, now)
    for asset, ids in landed.items():
        context.instance.report_runless_asset_event(
            dg.AssetObservation(
                ["raw", asset],
                description="Read again after a webhook.",
                metadata={"objects": len(ids), "ids": ", ".join(ids[:50])},
            )
        )
    newest = webhook_events.last_finished(database.database)
    if newest is None or newest == context.cursor:
        return dg.SkipReason("no webhook announced a change")
    accounts = active_accounts(database.database)
    days = [local_today(account.timezone, now) for account in accounts]
    window = DateWindow(max(days), max(days))
    if build_dimensions_now(dbt, database.database, window):
        _report_dimensions(context.instance, window)
        return dg.SensorResult(skip_reason="the dimensions are built", cursor=newest)
    unfinished = unfinished_run(context.instance, WEBHOOKS)
    if unfinished is not None:
        return dg.SkipReason(f"run {unfinished} is still building the dimensions")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"webhooks:{newest}", tags=range_tags(window, WEBHOOKS))
        ],
        cursor=newest,
    )


def _report_dimensions(instance: dg.DagsterInstance, window: DateWindow) -> None:
    """Have the catalog show when the dimensions were built, as after a run."""
    for name in DIMENSIONS:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                ["marts", name],
                description="Built after a webhook.",
                partition=window.end.isoformat(),
            )
        )


webhook_sensors = [follow_webhooks]

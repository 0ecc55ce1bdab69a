"""Pull the custom conversions of one account: names and rules, never an obstacle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from meta_ads_pipeline.control import dead_letters, slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.raw.dead_letters import dead_letter
from meta_ads_pipeline.raw.entities import CUSTOM_CONVERSIONS, normalize_entities
from meta_ads_pipeline.raw.entities_load import EntityPull, load_entities
from meta_ads_pipeline.raw.failures import mark_failed
from meta_ads_pipeline.raw.load import shared_calls
from meta_ads_pipeline.run_tags import REFRESH_TODAY

logger = logging.getLogger(__name__)

_REFUSALS = frozenset({ErrorKind.PERMISSION, ErrorKind.INVALID})


def pull_custom_conversions(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    dates: Sequence[date],
    ctx: PullContext,
) -> list[SliceReport]:
    """Land the account's custom conversions as they are now; one report for each date.

    Where the token may not list them, what was known stays, with a warning: numbers need no names.
    The refresh of today's numbers reads them only where that was never done. Raises any other
    error after writing the reason on the slices.
    """
    if not dates:
        return []
    table, account_id = CUSTOM_CONVERSIONS, account.account_id
    key = SliceKey(account_id, table.asset)
    with slices.exclusive(database, key, dates):
        done = database.run(
            lambda connection: slices.claim_undone(connection, key, dates, ctx.attempt)
        )
        todo = sorted(set(dates) - done.keys())
        reports = [
            ctx.tell(SliceReport(account_id, day, table.asset, skipped=True, row_count=done[day]))
            for day in sorted(done.keys() & set(dates))
        ]
        if todo:
            try:
                reports += _pull(database, client, account_id, todo, ctx)
            except Exception as error:
                mark_failed(database, key, todo, ctx.attempt, error)
                raise
    return sorted(reports, key=lambda report: report.partition_date)


def _pull(
    database: Database,
    client: MetaAdsClient,
    account_id: str,
    todo: Sequence[date],
    ctx: PullContext,
) -> list[SliceReport]:
    table, key = CUSTOM_CONVERSIONS, SliceKey(account_id, CUSTOM_CONVERSIONS.asset)
    pulled_at, counter = ctx.now(), CallCounter()
    is_known = database.run(lambda connection: slices.was_loaded(connection, key))
    documents = None
    if ctx.refresh != REFRESH_TODAY or not is_known:
        documents = _list(client, account_id, counter)
    rows, bad = normalize_entities(documents or [], table, account_id)
    letters = [
        dead_letter(
            account_id=account_id,
            asset=table.asset,
            reason=each.reason,
            document=each.document,
            object_id=each.object_id,
            field=each.field,
            partition_date=todo[-1],
            is_dated=False,
            source_call=f"act_{account_id}/customconversions",
        )
        for each in bad
    ]
    calls = shared_calls(counter.calls, todo)

    def land(connection: Connection) -> dict[date, SliceCounts]:
        counts = SliceCounts()
        if documents is not None:
            pull = EntityPull(rows, [], [], pulled_at)
            counts = load_entities(connection, table, account_id, pull)
            counts = replace(counts, dead_lettered=len(letters))
            dead_letters.record(connection, letters)
            dead_letters.resolve_by_pull(connection, account_id, table.asset, letters)
        by_date = {day: SliceCounts() for day in todo} | {todo[-1]: counts}
        slices.finish(connection, key, by_date, ctx.attempt, pulled_at=pulled_at, api_calls=calls)
        return by_date

    by_date = database.run(land)
    return [
        ctx.tell(SliceReport.of(account_id, day, table.asset, by_date[day], api_calls=calls[day]))
        for day in todo
    ]


def _list(
    client: MetaAdsClient, account_id: str, counter: CallCounter
) -> list[dict[str, object]] | None:
    """None where Meta does not give them to this token."""
    try:
        return client.get_custom_conversions(account_id, counter=counter)
    except MetaApiError as error:
        if error.kind not in _REFUSALS:
            raise
        logger.warning(
            "act_%s: custom conversions cannot be read and stay without names: %s",
            *(account_id, error),
        )
        return None

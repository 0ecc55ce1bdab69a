"""Pull the custom conversions of one account: names and rules, never an obstacle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from meta_ads_pipeline.control import dead_letters, slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.paging import Listing
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.raw.dead_letters import dead_letter, dead_letter_of_left_out
from meta_ads_pipeline.raw.entities import CUSTOM_CONVERSIONS, normalize_entities
from meta_ads_pipeline.raw.entities_load import EntityPull, load_entities
from meta_ads_pipeline.raw.failures import mark_failed
from meta_ads_pipeline.raw.known_refusals import with_landed_fields
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
    So it is of a list that Meta does not give to its end: what came lands, nothing is missing.
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
        reports = ctx.tell(
            SliceReport(account_id, day, table.asset, skipped=True, row_count=done[day])
            for day in sorted(done.keys() & set(dates))
        )
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
    listing = None
    if ctx.refresh != REFRESH_TODAY or not is_known:
        listing = _list(client, account_id, counter)
    left_out = [] if listing is None else listing.left_out
    documents: list[Any] = []
    if listing is not None:
        refused = client.dropped_fields.get(f"custom_conversion/act_{account_id}", {})
        documents = with_landed_fields(database, table, listing, refused)
    rows, bad = normalize_entities(documents, table, account_id)
    source_call = f"act_{account_id}/customconversions"
    letters = [
        dead_letter(
            account_id=account_id,
            asset=table.asset,
            reason=each.reason,
            document=each.document,
            object_id=each.object_id,
            field=each.field,
            source_call=source_call,
        )
        for each in bad
    ]
    letters += [
        dead_letter_of_left_out(
            each, account_id=account_id, asset=table.asset, source_call=source_call
        )
        for each in left_out
    ]
    letters = [replace(each, partition_date=todo[-1], is_dated=False) for each in letters]
    # An object that Meta refuses as a whole is not missing either, nor what the list did not reach.
    is_complete = (
        listing is not None
        and listing.ended_early is None
        and all(each.fields for each in left_out)
    )
    calls = shared_calls(counter.calls, todo)

    def land(connection: Connection) -> dict[date, SliceCounts]:
        counts = SliceCounts()
        if listing is not None:
            pull = EntityPull(rows, [], [], pulled_at, is_complete)
            counts = load_entities(connection, table, account_id, pull)
            counts = replace(counts, dead_lettered=len(letters))
            dead_letters.record(connection, letters)
            dead_letters.resolve_by_pull(
                *(connection, account_id, table.asset, letters),
                object_ids=None if is_complete else [row.id for row in rows],
            )
        by_date = {day: SliceCounts() for day in todo} | {todo[-1]: counts}
        slices.finish(connection, key, by_date, ctx.attempt, pulled_at=pulled_at, api_calls=calls)
        return by_date

    by_date = database.run(land)
    return ctx.tell(
        SliceReport.of(account_id, day, table.asset, by_date[day], api_calls=calls[day])
        for day in todo
    )


def _list(client: MetaAdsClient, account_id: str, counter: CallCounter) -> Listing | None:
    """None where Meta does not give them to this token."""
    try:
        listing = Listing.of(client.get_custom_conversions(account_id, counter=counter))
    except MetaApiError as error:
        if error.kind not in _REFUSALS:
            raise
        logger.warning(
            "act_%s: custom conversions cannot be read and stay without names: %s",
            *(account_id, error),
        )
        return None
    if listing.ended_early is not None:
        logger.warning(
            "act_%s: after %d custom conversions the list was left; others stay as they were: %s",
            *(account_id, len(listing), listing.ended_early),
        )
    return listing

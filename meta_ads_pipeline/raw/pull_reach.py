"""Pull reach, frequency and unique counts of one account: few requests, landed date by date.

They are not additive, so they are requested at every level and for every period that people read:
account, campaign and ad set by day, 7 days, 28 days and calendar month (see ``raw.periods``). A
refresh of one date is about 12 calls, 90 days are about 25.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.insights_tables import REACH_LEVELS, REACH_TABLE, Level
from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.insights_query import InsightsPart
from meta_ads_pipeline.meta_api.paging import LeftOut
from meta_ads_pipeline.meta_api.priority import calls_of_priority
from meta_ads_pipeline.meta_api.waiting import carried, waiting_for_threads
from meta_ads_pipeline.raw.context import Document, PullContext, SliceReport, account_ref
from meta_ads_pipeline.raw.failures import mark_failed
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_ads_pipeline.raw.missing_values import missing_values
from meta_ads_pipeline.raw.periods import (
    UNIQUE_NOT_KEPT,
    Chain,
    chains,
    spans_ending,
)
from meta_ads_pipeline.windows import KEPT_MONTHS, local_today

logger = logging.getLogger(__name__)

DATES_AT_ONCE = 92
"""Dates whose rows are in memory together: a request covers as many days as possible."""

_REQUESTS_AT_ONCE = 4


def pull_reach(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    dates: Sequence[date],
    ctx: PullContext,
) -> list[SliceReport]:
    """Fetch and replace the slices of ``insights_reach`` for account-local ``dates``, newest first.

    Slices done under the sync are skipped. A slice speaks for the periods that end with its date
    by the rule of today: a trailing period that was asked for on the morning after stays as it is
    when its date is pulled again later. Raises the first error (``MetaApiError``,
    ``psycopg.Error``, ...) after writing the reason on the slices that it left undone; what was
    landed stays.
    """
    if not dates:
        return []
    key = SliceKey(account.account_id, REACH_TABLE.asset)
    today = local_today(account.timezone, ctx.now())
    with slices.exclusive(database, key, dates) as lock:
        done = database.run(
            lambda connection: slices.claim_undone(connection, key, dates, ctx.attempt)
        )
        undone = set(dates) - done.keys()
        reports = ctx.tell(
            SliceReport(account.account_id, day, key.asset, skipped=True, row_count=done[day])
            for day in sorted(done.keys() & set(dates))
        )
        try:
            for chunk in newest_first(undone):
                with calls_of_priority(ctx.priority(chunk[-1], account)):
                    pulled = _read(client, account, chunk, today)
                loaded = load_insights(database, account, REACH_TABLE, pulled, ctx.attempt)
                undone.difference_update(chunk)
                lock.release(chunk)
                reports += ctx.tell(
                    SliceReport.of(
                        *(account.account_id, day, key.asset),
                        *(loaded.counts[day], loaded.api_calls[day]),
                    )
                    for day in chunk
                )
        except Exception as error:
            mark_failed(database, key, undone, ctx.attempt, error)
            raise
    return sorted(reports, key=lambda report: report.partition_date)


def newest_first(dates: Collection[date]) -> Iterator[list[date]]:
    """The dates in portions that are asked for and landed in one go."""
    ordered = sorted(set(dates), reverse=True)
    for first in range(0, len(ordered), DATES_AT_ONCE):
        yield ordered[first : first + DATES_AT_ONCE]


@dataclass(frozen=True)
class ReachRequest:
    """One request: a chain of periods at one level."""

    level: Level
    chain: Chain


def reach_requests(dates: Sequence[date], today: date) -> list[ReachRequest]:
    """Every request for these dates: each chain of periods at each level."""
    return [ReachRequest(level, chain) for chain in chains(dates, today) for level in REACH_LEVELS]


def _read(
    client: MetaAdsClient, account: Account, dates: Sequence[date], today: date
) -> PulledRows:
    """The complete response about the dates, some requests at once."""
    counter = CallCounter()

    def read(request: ReachRequest) -> list[InsightsPart]:
        chain = request.chain
        return client.get_reach(
            *(account_ref(account), chain.start, chain.end),
            level=request.level,
            period=chain.period,
            unique_counts=chain.has_unique_counts,
            counter=counter,
        )

    requests = reach_requests(dates, today)
    rows: list[Document] = []
    requested_at = [datetime.now(UTC)]
    left_out: dict[str, LeftOut] = {}
    missing: set[tuple[str, str]] = set()
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE, thread_name_prefix="reach") as pool:
        waiting = [pool.submit(carried(partial(read, each))) for each in requests]
        try:
            for request, response in zip(requests, waiting, strict=True):
                with waiting_for_threads():
                    parts = response.result()
                requested_at += [part.pulled_at for part in parts]
                left_out |= {each.object_id: each for part in parts for each in part.left_out}
                missing |= {*missing_values(REACH_TABLE, parts)}
                rows += _documents(request, parts)
        finally:
            for response in waiting:
                response.cancel()
    spans = [span for day in dates for span in spans_ending(day, today)]
    forgotten = sorted(set(dates) - {span.end for span in spans})
    if forgotten:
        logger.warning(
            "act_%s: no reach of %s to %s: Meta keeps it for %d months",
            *(account.account_id, forgotten[0], forgotten[-1], KEPT_MONTHS),
        )
    return PulledRows(
        rows,
        sorted(dates),
        client.api_version,
        min(requested_at),
        counter.calls,
        tuple((span.end, span.period) for span in spans),
        left_out=list(left_out.values()),
        missing=sorted(missing),
    )


def _documents(request: ReachRequest, parts: Sequence[InsightsPart]) -> Iterator[Document]:
    """The rows with what only the request says of them."""
    level, chain = request.level, request.chain
    for part in parts:
        refused = [name for name in part.query.measures if name in part.missing]
        reasons = [f"refused by Meta: {', '.join(refused)}"] if refused else []
        if not chain.has_unique_counts:
            reasons.append(UNIQUE_NOT_KEPT)
        omitted = "; ".join(reasons) or None
        for row in part.rows:
            yield {
                **row,
                "level": level,
                "entity_id": row.get(f"{level}_id"),
                "period": chain.period,
                "omitted": omitted,
            }

"""Pull campaigns, ad sets, ads or creatives of one account: the list, then by id what it omits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from meta_ads_pipeline.control import dead_letters, slices
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.control.slices import SliceCounts, SliceKey
from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.entities import KnownRefusals
from meta_ads_pipeline.meta_api.error_rules import Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.meta_api.paging import Listing
from meta_ads_pipeline.raw.context import (
    Document,
    PullContext,
    SliceReport,
)
from meta_ads_pipeline.raw.dead_letters import dead_letter, dead_letter_of_left_out
from meta_ads_pipeline.raw.entities import (
    ENTITY_TABLES,
    BadEntity,
    EntityRow,
    EntityTable,
    normalize_entities,
)
from meta_ads_pipeline.raw.entities_load import (
    EntityPull,
    Reference,
    is_landed,
    load_entities,
    unknown_references,
    unlisted_references,
)
from meta_ads_pipeline.raw.failures import describe, mark_failed
from meta_ads_pipeline.raw.known_refusals import known_refusals, with_landed_fields
from meta_ads_pipeline.raw.load import shared_calls
from meta_ads_pipeline.run_tags import REFRESH_ALL_ENTITIES, REFRESH_TODAY

_UNREADABLE_FOR_GOOD = frozenset({ErrorKind.PERMISSION, ErrorKind.INVALID})


def pull_entities(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    kind: Kind,
    dates: Sequence[date],
    ctx: PullContext,
) -> list[SliceReport]:
    """Land the current state of one kind of entity of ``account``; one report for each date.

    Entities have no history in the API, so all dates get the same state: the counts are on the
    newest one. What the facts of ``dates`` or children refer to and the list omits is read by id.
    Dates done under the sync are skipped; what facts that came since name is then read by id alone.
    Raises the first error after writing the reason on the slices.

    In the refresh of today's numbers nothing is listed, which happens every few minutes and would
    say what the refresh of entities says: only what nobody has read yet is read, by id.
    """
    table = ENTITY_TABLES[kind]
    key = SliceKey(account.account_id, table.asset)
    if not dates:
        return []

    def claim(connection: Connection) -> tuple[dict[date, int], bool]:
        """Rows of the dates that are done; whether the list was read, if any is not."""
        if not unknown_references(connection, table, kind, account.account_id, dates):
            return slices.claim_undone(connection, key, dates, ctx.attempt), False
        # Done before the facts came that now refer to something new: not done after all.
        done = slices.done_under(connection, key, ctx.attempt.sync_id)
        slices.claim(connection, key, dates, ctx.attempt)
        return {}, done.keys() >= set(dates)

    with slices.exclusive(database, key, dates):
        done, is_listed = database.run(claim)
        if done:  # unless the facts that are coming name something unknown
            ctx.upstream_over()
            done, is_listed = database.run(claim)
        todo = sorted(set(dates) - done.keys())
        reports = ctx.tell(
            SliceReport(account.account_id, day, table.asset, skipped=True, row_count=done[day])
            for day in sorted(done.keys() & set(dates))
        )
        if todo:
            try:
                reports += _pull(database, client, account, kind, todo, ctx, is_listed=is_listed)
            except Exception as error:
                mark_failed(database, key, todo, ctx.attempt, error)
                raise
    return sorted(reports, key=lambda report: report.partition_date)


def _pull(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    kind: Kind,
    todo: Sequence[date],
    ctx: PullContext,
    *,
    is_listed: bool,
) -> list[SliceReport]:
    table = ENTITY_TABLES[kind]
    account_id = account.account_id
    pulled_at, counter = ctx.now(), CallCounter()
    is_complete = not is_listed and (
        ctx.refresh != REFRESH_TODAY
        or not database.run(lambda connection: is_landed(connection, table, account_id))
    )
    known = None
    if is_complete and kind == "creative" and ctx.refresh != REFRESH_ALL_ENTITIES:
        known = known_refusals(database, account_id)  # else all are tried again
    listing = (
        Listing.of(_list(client, account_id, kind, known, counter)) if is_complete else Listing()
    )

    def normalized(documents: Listing) -> tuple[list[EntityRow], list[BadEntity]]:
        refused = client.dropped_fields.get(f"{kind}/act_{account_id}", {})
        kept = with_landed_fields(database, table, documents, refused)
        return normalize_entities(kept, table, account_id)

    listed, bad = normalized(listing)
    listed_ids = [row.id for row in listed]
    # Facts come, or parents' children, while the list is read.
    ctx.upstream_over()
    wanted = database.run(
        lambda connection: (
            unlisted_references(
                connection,
                table,
                kind,
                account_id,
                todo,
                listed_ids,
                with_deleted=ctx.refresh == REFRESH_ALL_ENTITIES,
            )
            if is_complete
            else unknown_references(connection, table, kind, account_id, todo)
        )
    )
    ids = [reference.id for reference in wanted]
    documents, errors = (
        client.get_objects(ids, kind, account_id=account_id, counter=counter) if ids else ([], {})
    )
    by_id, bad_by_id = normalized(Listing.of(documents))
    gone, letters, failure = _sort_errors(wanted, errors, table, account_id)
    letters += [
        dead_letter_of_left_out(
            each,
            account_id=account_id,
            asset=table.asset,
            source_call=f"act_{account_id}/{table.asset}",
        )
        for each in (*listing.left_out, *Listing.of(documents).left_out)
    ]
    # A list that was left early says nothing of what it does not show.
    is_complete = is_complete and listing.ended_early is None
    failure = failure or listing.ended_early
    letters += [_dead_letter_of(each, table, account_id) for each in (*bad, *bad_by_id)]
    letters = [replace(each, partition_date=todo[-1], is_dated=False) for each in letters]
    pull = EntityPull(listed, by_id, gone, pulled_at, is_complete)
    calls = shared_calls(counter.calls, todo)

    def land(connection: Connection) -> dict[date, SliceCounts]:
        counts = load_entities(connection, table, account_id, pull)
        counts = replace(counts, dead_lettered=len(letters))
        dead_letters.record(connection, letters)
        dead_letters.resolve_by_pull(
            connection,
            account_id,
            table.asset,
            letters,
            object_ids=None if is_complete else [row.id for row in by_id],
        )
        by_date = {day: SliceCounts() for day in todo} | {todo[-1]: counts}
        if failure is None:
            slices.finish(
                connection,
                SliceKey(account_id, table.asset),
                by_date,
                ctx.attempt,
                pulled_at=pulled_at,
                api_calls=calls,
            )
        return by_date

    by_date = database.run(land)
    if failure is not None:
        raise failure
    return ctx.tell(
        SliceReport.of(account_id, day, table.asset, by_date[day], api_calls=calls[day])
        for day in todo
    )


def _list(
    client: MetaAdsClient,
    account_id: str,
    kind: Kind,
    known: KnownRefusals | None,
    counter: CallCounter,
) -> list[Document]:
    if kind == "campaign":
        return client.get_campaigns(account_id, counter=counter)
    if kind == "adset":
        return client.get_adsets(account_id, counter=counter)
    if kind == "ad":
        return client.get_ads(account_id, counter=counter)
    return client.get_creatives(account_id, known=known, counter=counter)


def _sort_errors(
    wanted: Sequence[Reference],
    errors: dict[str, MetaApiError],
    table: EntityTable,
    account_id: str,
) -> tuple[list[Reference], list[DeadLetter], MetaApiError | None]:
    """Those that are gone, a dead letter for each that cannot be read, and a passing failure."""
    gone: list[Reference] = []
    letters: list[DeadLetter] = []
    failure: MetaApiError | None = None
    for reference in wanted:
        error = errors.get(reference.id)
        if error is None:
            continue
        if error.kind not in _UNREADABLE_FOR_GOOD:
            failure = failure or error
            continue
        if error.action is Action.MARK_UNREACHABLE:
            if reference.is_deleted:  # was said when it went
                continue
            gone.append(reference)
        letters.append(
            dead_letter(
                account_id=account_id,
                asset=table.asset,
                reason=describe(error),
                document={"id": reference.id},
                object_id=reference.id,
                field="id",
                source_call=f"GET {table.level} by id",
            )
        )
    return gone, letters, failure


def _dead_letter_of(bad: BadEntity, table: EntityTable, account_id: str) -> DeadLetter:
    return dead_letter(
        account_id=account_id,
        asset=table.asset,
        reason=bad.reason,
        document=bad.document,
        object_id=bad.object_id,
        field=bad.field,
        source_call=f"act_{account_id}/{table.asset}",
    )

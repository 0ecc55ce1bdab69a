"""Read announced objects again: what a webhook said has changed, by id, landed as it stands now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meta_ads_pipeline.control import dead_letters
from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.webhook_events import AnnouncedObject
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.error_rules import Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.raw.dead_letters import dead_letter
from meta_ads_pipeline.raw.entities import ENTITY_TABLES, normalize_entities
from meta_ads_pipeline.raw.entities_load import EntityPull, Reference, load_entities
from meta_ads_pipeline.raw.failures import describe

_ANY_KIND: Sequence[Kind] = ("ad", "adset", "campaign", "creative")
"""Tried in this order for an object of a kind that neither the event nor a raw table tells."""


@dataclass
class Reread:
    """What came of the announced objects of one account: ids by kind, and a reason for the rest."""

    landed: dict[Kind, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def reread_objects(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    objects: Collection[AnnouncedObject],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Reread:
    """Read the objects by id, a hundred to a call, and land them.

    An object that Meta says does not exist is landed as deleted where it was known, else it has
    failed. An object that cannot be read costs no other. Raises nothing of Meta's: an error that
    stops a kind is the reason of each of its objects.
    """
    outcome = Reread()
    told = {each.object_id: each.level for each in objects}
    known = database.run(lambda connection: _known_kinds(connection, account, list(told)))
    kinds = {object_id: known.get(object_id) or _kind(level) for object_id, level in told.items()}
    waiting = set(kinds)
    for kind in _ANY_KIND:
        ids = sorted(each for each in waiting if kinds[each] in (kind, None))
        if not ids:
            continue
        landed, failed = _reread_kind(
            database, client, account, kind, ids, known=set(known), at=now()
        )
        if landed:
            outcome.landed[kind] = landed
        for object_id in landed:
            outcome.failed.pop(object_id, None)
        outcome.failed.update(failed)
        waiting -= set(landed)
    for object_id in waiting - outcome.failed.keys():
        outcome.failed[object_id] = "no answer names it"
    return outcome


def _kind(level: str | None) -> Kind | None:
    return next((kind for kind in _ANY_KIND if kind == level), None)


def _known_kinds(connection: Connection, account: Account, ids: list[str]) -> dict[str, Kind]:
    """The kind of each id that is landed for the account."""
    found: dict[str, Kind] = {}
    for kind, table in ENTITY_TABLES.items():
        rows = connection.execute(
            f"select id from {table.name} where account_id = %s and id = any(%s)",
            [account.account_id, ids],
        )
        found.update({row["id"]: kind for row in rows})
    return found


def _reread_kind(
    database: Database,
    client: MetaAdsClient,
    account: Account,
    kind: Kind,
    ids: list[str],
    *,
    known: set[str],
    at: datetime,
) -> tuple[list[str], dict[str, str]]:
    """Ids that are landed as of ``at``, and a reason for each that is not."""
    table, account_id = ENTITY_TABLES[kind], account.account_id
    try:
        documents, errors = client.get_objects(ids, kind, account_id=account_id)
    except MetaApiError as error:
        return [], dict.fromkeys(ids, describe(error))
    rows, bad = normalize_entities(documents, table, account_id)
    letters = [
        dead_letter(
            account_id=account_id,
            asset=table.asset,
            document=each.document,
            field=each.field,
            reason=each.reason,
            object_id=each.object_id,
            source_call=f"GET {kind} by id, after a webhook",
        )
        for each in bad
    ]
    gone = [object_id for object_id in ids if object_id in known and _is_gone(errors, object_id)]
    pull = EntityPull(
        [], rows, [Reference(each, None, None) for each in gone], at, is_complete=False
    )

    def land(connection: Connection) -> None:
        load_entities(connection, table, account_id, pull)
        dead_letters.record(connection, letters)

    database.run(land)
    failed = {each: describe(error) for each, error in errors.items() if each not in gone}
    failed.update({each.object_id: each.reason for each in bad if each.object_id is not None})
    return [*(row.id for row in rows), *gone], failed


def _is_gone(errors: dict[str, MetaApiError], object_id: str) -> bool:
    error = errors.get(object_id)
    return (
        error is not None
        and error.kind in {ErrorKind.INVALID, ErrorKind.PERMISSION}
        and error.action is Action.MARK_UNREACHABLE
    )

"""What Meta refuses of entities: no reason to ask for everything again, or to forget what landed.

Of single creatives the dead letters say what is refused. A creative's content never changes (Meta
makes a new creative of an edit), so the fields of one that is otherwise as it was landed are those
that were landed. Campaigns, ad sets and ads do change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.entities import KnownRefusals
from meta_ads_pipeline.meta_api.fields import FIELDS
from meta_ads_pipeline.meta_api.paging import LeftOut, Listing, Row, objects_of
from meta_ads_pipeline.raw.entities import ENTITY_TABLES, EntityTable, document_hash

_CREATIVES = ENTITY_TABLES["creative"]
_AT_ONCE = 1000


def known_refusals(database: Database, account_id: str) -> KnownRefusals | None:
    """What Meta refused of the account's creatives when they were last read; None: nothing."""
    with database.connect() as connection:
        letters = connection.execute(
            "select object_id, field, reason from control.dead_letters"
            " where account_id = %s and asset = %s and status = 'open'"
            # A document that could not be used stands in its letter as a whole.
            " and document = jsonb_build_object('id', object_id)",
            [account_id, _CREATIVES.asset],
        ).fetchall()
    left_out = {
        row["object_id"]: LeftOut(row["reason"], row["object_id"], tuple(row["field"].split(", ")))
        for row in letters
    }
    asked = {*FIELDS["creative"]} - {"id"}
    left_out = {each: left for each, left in left_out.items() if asked >= {*left.fields}}
    if not left_out:
        return None

    def recall(rows: Sequence[Row], fields: Sequence[str]) -> Mapping[str, Row]:
        listed = {str(row["id"]): row for row in rows}
        return {
            object_id: {name: document[name] for name in fields if name in document}
            for object_id, document in _landed(database, _CREATIVES, list(listed))
            if _essence(document, fields) == _essence(listed[object_id], fields)
        }

    return KnownRefusals(left_out, recall)


def with_landed_fields(
    database: Database,
    table: EntityTable,
    documents: Listing,
    refused: Collection[str],
) -> list[Any]:
    """Documents with the landed values of fields that could not be read this time.

    Those are what the connection was ``refused`` for the account as a whole, and what the listing
    says was left out of single objects. Another connection may read them, a deleted post was once
    there: neither is a change of the object, and a last good value is better than none. Fields that
    Meta has no more are not among them.
    """
    of_one = {each.object_id: each.fields for each in documents.left_out}
    asked = [str(row["id"]) for row in objects_of(documents) if refused or str(row["id"]) in of_one]
    landed: dict[str, dict[str, Any]] = {}
    for object_id, document in _landed(database, table, asked):
        fields = {*refused, *of_one.get(object_id, ())}
        landed[object_id] = {name: document[name] for name in fields if name in document}
    return [
        {**landed.get(str(row.get("id")), {}), **row} if isinstance(row, dict) else row
        for row in documents
    ]


def _essence(document: Row, fields: Sequence[str]) -> str:
    """What does not change of a creative, without these fields; addresses of images do change."""
    left_out = {*fields, "image_url", "thumbnail_url"}
    return document_hash({name: each for name, each in document.items() if name not in left_out})


def _landed(
    database: Database, table: EntityTable, ids: Sequence[str]
) -> Iterator[tuple[str, Row]]:
    """The ids that are landed with their documents, of which only some are in memory at a time."""
    for start in range(0, len(ids), _AT_ONCE):
        with database.connect() as connection:
            rows = connection.execute(
                f"select id, document from {table.name} where id = any(%s)",
                [ids[start : start + _AT_ONCE]],
            ).fetchall()
        yield from ((row["id"], row["document"]) for row in rows)

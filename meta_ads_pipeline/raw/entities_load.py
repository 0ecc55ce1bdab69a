"""Land entities: current state by id, a version for each change, and who is missing or gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.control.slices import SliceCounts
from meta_ads_pipeline.meta_api.fields import Kind
from meta_ads_pipeline.raw.entities import EntityRow, EntityTable
from meta_ads_pipeline.raw.json_text import json_text, storable_text
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_INCOMING = "incoming_entities"


@dataclass(frozen=True)
class Reference:
    """An entity that facts or children refer to, with the parents they name for it."""

    id: str
    campaign_id: str | None
    adset_id: str | None
    is_deleted: bool = False
    """Whether it is landed as deleted already."""


@dataclass(frozen=True)
class EntityPull:
    """What was read of one kind: the complete list, what was read by id, what is gone.

    ``gone`` are ids that Meta says do not exist (or are hidden from the token for good). Where
    the list is not complete, nothing is missing from it.
    """

    listed: Sequence[EntityRow]
    by_id: Sequence[EntityRow]
    gone: Sequence[Reference]
    pulled_at: datetime
    is_complete: bool = True


def unlisted_references(
    connection: Connection,
    table: EntityTable,
    kind: Kind,
    account_id: str,
    dates: Sequence[date],
    listed: Collection[str],
    *,
    with_deleted: bool = False,
) -> list[Reference]:
    """What has to be read by id: neither listed nor, unless ``with_deleted``, known to be deleted.

    That is, what the account's facts of these dates or its children refer to, and what was known
    before and is not in the list any more.
    """
    return _references(
        connection,
        table,
        kind,
        account_id,
        dates,
        listed=list(listed),
        only_unknown=False,
        with_deleted=with_deleted,
    )


def unknown_references(
    connection: Connection,
    table: EntityTable,
    kind: Kind,
    account_id: str,
    dates: Collection[date],
) -> list[Reference]:
    """What the account's facts of these dates, or its children, refer to and was never landed."""
    return _references(
        connection, table, kind, account_id, dates, listed=[], only_unknown=True, with_deleted=False
    )


def _references(
    connection: Connection,
    table: EntityTable,
    kind: Kind,
    account_id: str,
    dates: Collection[date],
    **which: object,
) -> list[Reference]:
    rows = connection.execute(
        sql("entity_references", table=table.name),
        {"account": account_id, "kind": kind, "dates": list(dates), **which},
    ).fetchall()
    return [Reference(**row) for row in rows]


def is_landed(connection: Connection, table: EntityTable, account_id: str) -> bool:
    """Whether anything of this kind was ever landed for the account."""
    query = f"select exists (select from {table.name} where account_id = %s) as found"
    row = connection.execute(query, [account_id]).fetchone()
    assert row is not None
    return bool(row["found"])


def load_entities(
    connection: Connection, table: EntityTable, account_id: str, pull: EntityPull
) -> SliceCounts:
    """Bring one account's entities of one kind up to date, in the caller's transaction.

    A listed entity that no longer appears is missing, not deleted, until a read by its id says
    so. A gone one that was never seen is kept as a deleted row with nothing but its ids, so that
    its facts have a parent. Counts are entities: ``deleted`` those found to be deleted now.
    """
    connection.execute(
        "select pg_advisory_xact_lock(hashtextextended(%s, 0))",
        [f"load:{table.asset}:{account_id}"],
    )
    _copy(connection, table, pull)
    parameters = {
        "account": account_id,
        "at": pull.pulled_at,
        "level": table.level,
        "gone": [reference.id for reference in pull.gone],
    }
    deleted = _scalar(connection, table, "newly_deleted_entities", parameters)
    if table.has_versions:
        connection.execute(sql("add_entity_versions", table=table.name), parameters)
    updated = _scalar(connection, table, "update_entities", parameters)
    inserted = _scalar(connection, table, "insert_entities", parameters)
    connection.execute(sql("mark_gone_entities", table=table.name), parameters)
    if pull.is_complete:
        updated += _scalar(connection, table, "mark_missing_entities", parameters)
    fetched = len(pull.listed) + len(pull.by_id)
    gone_unseen = _insert_gone(connection, table, account_id, pull)
    connection.execute(f"drop table {_INCOMING}")
    return SliceCounts(
        fetched=fetched,
        inserted=inserted + gone_unseen,
        updated=max(0, updated - deleted),
        deleted=deleted,
        unchanged=max(0, fetched - inserted - updated),
    )


def _copy(connection: Connection, table: EntityTable, pull: EntityPull) -> None:
    columns = list(table.columns)
    connection.execute(
        sql("create_incoming_entities", table=table.name, columns=", ".join(columns))
    )
    # Without a list nothing that lives is missing from it.
    rows = {row.id: (row, not (pull.is_complete or row.is_deleted)) for row in pull.by_id}
    rows.update({row.id: (row, True) for row in pull.listed})
    with connection.cursor().copy(
        f"copy {_INCOMING} (id, {', '.join(columns)}, document, document_hash, is_deleted,"
        " is_listed) from stdin"
    ) as copy:
        for row, is_listed in rows.values():
            values = [row.columns[name] for name in columns]
            copy.write_row(
                (
                    row.id,
                    *(None if text is None else storable_text(text) for text in values),
                    row.document,
                    row.document_hash,
                    row.is_deleted,
                    is_listed,
                )
            )


def _insert_gone(
    connection: Connection, table: EntityTable, account_id: str, pull: EntityPull
) -> int:
    """Rows for what facts refer to and nobody can read any more."""
    inserted = 0
    for reference in pull.gone:
        parents = {
            name: getattr(reference, name)
            for name in ("campaign_id", "adset_id")
            if name in table.columns and getattr(reference, name) is not None
        }
        names = ", ".join(("id", "account_id", *parents))
        marks = ", ".join(["%s"] * (2 + len(parents)))
        inserted += connection.execute(
            f"insert into {table.name} ({names}, document, document_hash, is_deleted,"
            "   missing_since, first_seen_at, changed_at, pulled_at)"
            f" values ({marks}, %s, '', true, %s, %s, %s, %s) on conflict (id) do nothing",
            [
                *(reference.id, account_id, *parents.values()),
                json_text({"id": reference.id, **parents}),
                *([pull.pulled_at] * 4),
            ],
        ).rowcount
    return inserted


def _scalar(
    connection: Connection, table: EntityTable, name: str, parameters: Mapping[str, Any]
) -> int:
    """The one number that the statement ``sql/<name>.sql`` returns."""
    statement = sql(
        name,
        table=table.name,
        columns=", ".join(table.columns),
        i_columns=", ".join(f"i.{column}" for column in table.columns),
    )
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    (value,) = row.values()
    return int(value)

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

_INCOMING = "incoming_entities"


@dataclass(frozen=True)
class Reference:
    """An entity that facts or children refer to, with the parents they name for it."""

    id: str
    campaign_id: str | None
    adset_id: str | None


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


_FACT_IDS = "campaign_id, adset_id, ad_id"
_FACTS = " union ".join(
    f"select {_FACT_IDS} from raw.{table}"
    " where account_id = %(account)s and event_date = any(%(dates)s)"
    for table in ("insights_daily", "insights_hourly")
)
_REFERENCES: Mapping[Kind, str] = {
    "ad": "select ad_id as id, campaign_id, adset_id from facts",
    "adset": (
        "select adset_id as id, campaign_id, null as adset_id from facts"
        " union all select adset_id, campaign_id, null from raw.ads"
        " where account_id = %(account)s"
    ),
    "campaign": (
        "select campaign_id as id, null as campaign_id, null as adset_id from facts"
        " union all select campaign_id, null, null from raw.adsets where account_id = %(account)s"
        " union all select campaign_id, null, null from raw.ads where account_id = %(account)s"
    ),
    "creative": (
        "select creative_id as id, null as campaign_id, null as adset_id from raw.ads"
        " where account_id = %(account)s"
    ),
}


def unlisted_references(
    connection: Connection,
    table: EntityTable,
    kind: Kind,
    account_id: str,
    dates: Sequence[date],
    listed: Collection[str],
) -> list[Reference]:
    """What has to be read by id: neither listed nor known to be deleted.

    That is, what the account's facts of these dates or its children refer to, and what was known
    before and is not in the list any more.
    """
    rows = connection.execute(
        f"with facts as ({_FACTS}), referred as ({_REFERENCES[kind]}"
        f" union all select id, null, null from {table.name} where account_id = %(account)s)"
        " select r.id, max(r.campaign_id) as campaign_id, max(r.adset_id) as adset_id"
        f" from referred as r left join {table.name} as known on known.id = r.id"
        " where r.id is not null and known.is_deleted is not true"
        " and not r.id = any(%(listed)s)"
        " group by 1 order by 1",
        {"account": account_id, "dates": list(dates), "listed": list(listed)},
    ).fetchall()
    return [Reference(row["id"], row["campaign_id"], row["adset_id"]) for row in rows]


def unknown_references(
    connection: Connection,
    table: EntityTable,
    kind: Kind,
    account_id: str,
    dates: Collection[date],
) -> list[Reference]:
    """What the account's facts of these dates, or its children, refer to and was never landed."""
    rows = connection.execute(
        f"with facts as ({_FACTS}), referred as ({_REFERENCES[kind]})"
        " select r.id, max(r.campaign_id) as campaign_id, max(r.adset_id) as adset_id"
        f" from referred as r left join {table.name} as known on known.id = r.id"
        " where r.id is not null and known.id is null group by 1 order by 1",
        {"account": account_id, "dates": list(dates)},
    ).fetchall()
    return [Reference(row["id"], row["campaign_id"], row["adset_id"]) for row in rows]


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
    columns = list(table.columns)
    deleted = _scalar(
        connection,
        f"select count(*) from {table.name} as t left join {_INCOMING} as i using (id)"
        " where not t.is_deleted and t.account_id = %(account)s"
        " and (i.is_deleted or t.id = any(%(gone)s))",
        parameters,
    )
    if table.has_versions:
        _add_versions(connection, table, parameters)
    new = [f"i.{name}" for name in columns]
    updated = _scalar(
        connection,
        f"with changed as (update {table.name} as t"
        f" set ({', '.join(columns)}) = row({', '.join(new)}),"
        "   document = i.document, document_hash = i.document_hash, is_deleted = i.is_deleted,"
        "   missing_since = case when not i.is_listed"
        "     then coalesce(t.missing_since, %(at)s) end,"
        "   changed_at = case when t.document_hash = i.document_hash"
        "     then t.changed_at else %(at)s end,"
        "   pulled_at = %(at)s"
        # Two copies of the row, so that what it was can be told from what it is.
        f" from {_INCOMING} as i join {table.name} as old using (id)"
        " where t.id = i.id and (t.document is distinct from i.document"
        "   or t.document_hash <> i.document_hash or t.is_deleted <> i.is_deleted"
        "   or (t.missing_since is null) <> i.is_listed)"
        " returning t.document_hash <> old.document_hash or t.is_deleted <> old.is_deleted"
        "   or (t.missing_since is null) <> (old.missing_since is null) as counts)"
        " select count(*) filter (where counts) from changed",
        parameters,
    )
    inserted = _insert(connection, table, parameters)
    connection.execute(
        f"update {table.name} set is_deleted = true,"
        "   missing_since = coalesce(missing_since, %(at)s), changed_at = %(at)s"
        " where id = any(%(gone)s) and not is_deleted",
        parameters,
    )
    if pull.is_complete:
        updated += _mark_missing(connection, table, parameters)
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


def _add_versions(
    connection: Connection, table: EntityTable, parameters: Mapping[str, Any]
) -> None:
    """Versions of the ids that are first seen, or seen with another document."""
    connection.execute(
        "insert into raw.entity_versions"
        " (account_id, level, entity_id, valid_from, document, document_hash)"
        " select %(account)s, %(level)s, i.id, %(at)s, i.document, i.document_hash"
        f" from {_INCOMING} as i left join {table.name} as t using (id)"
        " where t.document_hash is distinct from i.document_hash"
        " on conflict (level, entity_id, valid_from) do update set"
        "   document = excluded.document, document_hash = excluded.document_hash",
        parameters,
    )


def _mark_missing(connection: Connection, table: EntityTable, parameters: Mapping[str, Any]) -> int:
    return _scalar(
        connection,
        f"with missing as (update {table.name} as t set missing_since = %(at)s"
        " where account_id = %(account)s and missing_since is null and not is_deleted"
        f" and not exists (select from {_INCOMING} as i where i.id = t.id) returning 1)"
        " select count(*) from missing",
        parameters,
    )


def _copy(connection: Connection, table: EntityTable, pull: EntityPull) -> None:
    columns = list(table.columns)
    connection.execute(
        f"create temporary table {_INCOMING} on commit drop as"
        f" select id, {', '.join(columns)}, document, document_hash, is_deleted,"
        f" true as is_listed from {table.name} where false"
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


def _insert(connection: Connection, table: EntityTable, parameters: Mapping[str, Any]) -> int:
    columns = ", ".join(table.columns)
    values = ", ".join(f"i.{name}" for name in table.columns)
    return _scalar(
        connection,
        f"with new as (insert into {table.name} (id, account_id, {columns}, document,"
        "   document_hash, is_deleted, missing_since, first_seen_at, changed_at, pulled_at)"
        f" select i.id, %(account)s, {values}, i.document, i.document_hash, i.is_deleted,"
        "   case when not i.is_listed then %(at)s end, %(at)s, %(at)s, %(at)s"
        f" from {_INCOMING} as i"
        " on conflict (id) do nothing returning 1)"
        " select count(*) from new",
        parameters,
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


def _scalar(connection: Connection, query: str, parameters: Mapping[str, Any]) -> int:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    (value,) = row.values()
    return int(value)

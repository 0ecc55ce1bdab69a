"""Land facts that other programs post: check each row, keep what is good, dead-letter the rest.

A batch is one transaction. Rows are put in place by ``natural_key``; what is the same already is
not touched. Accounts belong to the workspace that posted them first, with one currency and one
timezone, and a measure of an entity and date has one grain and one level: every sum over the facts
stays right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import tuple_row

from meta_ads_pipeline.control import dead_letters
from meta_ads_pipeline.control.database import Connection, has_relation
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.raw.ingest_rows import MEASURES, FactRow, measures_of, read_fact
from meta_ads_pipeline.raw.json_text import json_text, storable_text
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

INGEST_ASSET = "ingest"
"""The asset of dead letters of posted rows."""

INSERTED, UPDATED, UNCHANGED, REJECTED = "inserted", "updated", "unchanged", "rejected"

_REPLACED = ("campaign_id", "adset_id", "ad_id", "goal", *MEASURES)
"""Columns that a later row of the same key replaces, where one of them differs."""

_MEASURES_OF_R = " + ".join(
    f"{1 << place} * (r.{name} is not null)::integer" for place, name in enumerate(MEASURES)
)


@dataclass(frozen=True)
class Unreadable:
    """A line that is no JSON. ``text``: as it came."""

    text: str
    reason: str


@dataclass(slots=True)
class RowResult:
    """What became of the row at ``index``: its key where it landed, else the field and reason."""

    index: int
    status: str
    natural_key: str | None = None
    field: str | None = None
    reason: str | None = None


class _Identity(NamedTuple):
    """What rows of one entity have in common, as they say it."""

    entity_id: UUID | None
    provider: str | None
    level: str | None
    external_entity_id: str | None
    account_id: str | None
    campaign_id: str | None
    adset_id: str | None
    timezone: str | None
    currency: str


_said_of_entity = attrgetter(*_Identity._fields)


@dataclass(frozen=True)
class _Entity:
    """The same, with what is known of it."""

    provider: str
    level: str
    external_entity_id: str
    account_id: str
    campaign_id: str | None
    adset_id: str | None
    timezone: str
    currency: str

    @property
    def entity_id(self) -> UUID:
        return entity_uuid(self.provider, self.level, self.external_entity_id)

    def copy_text(self) -> str:
        ad_id = self.external_entity_id if self.level == "ad" else None
        values = (
            *(self.provider, self.level, self.external_entity_id, self.account_id),
            *(self.campaign_id, self.adset_id, ad_id, self.timezone, self.currency),
        )
        return "\t".join("\\N" if value is None else value for value in values)


def entity_uuid(provider: str, level: str, external_id: str) -> UUID:
    """The uuid that the marts give an entity (dbt's macro ``entity_uuid``)."""
    text = f"{provider}:{level}:{external_id}"
    return UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())


def land_facts(
    connection: Connection,
    workspace_id: str,
    documents: Sequence[Any],
    *,
    first_date: date,
    source_call: str,
    keep_rejected: bool = True,
) -> list[RowResult]:
    """Land the documents in the transaction; one result for each, in order.

    ``first_date`` is where the history begins. Rejected ones become dead letters unless told not.
    At most once a transaction.
    """
    refused: dict[int, tuple[str, str]] = {}
    facts: list[tuple[int, FactRow, _Identity]] = []
    identities: dict[tuple[Any, ...], _Identity] = {}
    for n, document in enumerate(documents):
        if isinstance(document, Unreadable):
            refused[n] = ("", document.reason)
            continue
        row = read_fact(document)
        if not isinstance(row, FactRow):
            refused[n] = row
            continue
        said = _said_of_entity(row)
        identity = identities.get(said)
        if identity is None:
            identity = identities[said] = _Identity(*map(_bare_id, said))
        facts.append((n, row, identity))
    entities, unusable = _resolve(
        connection, workspace_id, list(dict.fromkeys(identities.values()))
    )
    for n, _, identity in facts:
        if identity in unusable:
            refused[n] = unusable[identity]
    good = [(n, row, entities[identity]) for n, row, identity in facts if identity in entities]
    placed: list[tuple[int, str, str | None]] = []
    if good:
        _copy(connection, good)
        placed = _place(connection, workspace_id, refused, first_date)
        _keep_entities(connection, workspace_id, {entity for _, _, entity in good})
    results = {
        n: RowResult(n, status or UNCHANGED, natural_key)
        for n, natural_key, status in placed
        if n not in refused
    }
    for n, (field, reason) in refused.items():
        results[n] = RowResult(n, REJECTED, None, field or None, reason)
    if keep_rejected and refused:
        letters = [
            _letter(workspace_id, documents[n], field, reason, source_call)
            for n, (field, reason) in refused.items()
        ]
        dead_letters.record(connection, letters)
    return [results[n] for n in sorted(results)]


def _bare_id(value: Any) -> Any:
    """``act_`` in front of an id is left out."""
    return value.removeprefix("act_") if isinstance(value, str) else value


def _resolve(
    connection: Connection, workspace_id: str, identities: Sequence[_Identity]
) -> tuple[dict[_Identity, _Entity], dict[_Identity, tuple[str, str]]]:
    """What each identity is, or the field at fault and why."""
    entities: dict[_Identity, _Entity] = {}
    unusable: dict[_Identity, tuple[str, str]] = {}
    ids = {identity: _uuid_of(identity) for identity in identities}
    known = _known(connection, workspace_id, set(ids.values()))
    named: dict[_Identity, dict[str, Any]] = {}
    for identity, entity_id in ids.items():
        try:
            named[identity] = _named(identity, known.get(entity_id))
        except ValueError as error:
            unusable[identity] = (str(error).split(":", 1)[0], str(error))
    accounts = _accounts(connection, workspace_id, named)
    for identity, entity in named.items():
        account = accounts[entity["provider"], entity["account_id"]]
        if account["workspace_id"] != workspace_id:
            unusable[identity] = (
                "account_id",
                f"account_id: {entity['account_id']} is no account of this workspace",
            )
            continue
        for field in ("currency", "timezone"):
            said = getattr(identity, field)
            if said is not None and said != account[field]:
                unusable[identity] = (
                    field,
                    f"{field}: {said} is another than {account[field]}, which all facts of "
                    f"account {entity['account_id']} have",
                )
                break
        else:
            own = {name: account[name] for name in ("currency", "timezone")}
            entities[identity] = _Entity(**entity, **own)
    return entities, unusable


def _uuid_of(identity: _Identity) -> UUID:
    if identity.entity_id is not None:
        return identity.entity_id
    assert identity.provider is not None
    assert identity.level is not None
    assert identity.external_entity_id is not None
    return entity_uuid(identity.provider, identity.level, identity.external_entity_id)


def _known(
    connection: Connection, workspace_id: str, ids: set[UUID]
) -> dict[UUID, Mapping[str, Any]]:
    asked = {"ids": list(ids), "workspace": workspace_id}
    rows = connection.execute(sql("ingest_known_entities"), asked).fetchall()
    if has_relation(connection, "marts.entities"):
        rows += connection.execute(sql("ingest_meta_entities"), asked).fetchall()
    return {row["entity_id"]: row for row in rows}


def _named(identity: _Identity, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Provider, level, ids. Raises ``ValueError`` with the field in front."""
    names = ("provider", "level", "external_entity_id", "account_id", "campaign_id", "adset_id")
    said = {name: getattr(identity, name) for name in names}
    for name, value in said.items():
        if value == "":
            raise ValueError(f"{name}: expected an id behind act_")
    if known is None and identity.entity_id is not None:
        raise ValueError(
            "entity_id: no entity of this workspace has it: give external_entity_id, provider, "
            "level and account_id"
        )
    for name in names if known is not None else ():
        assert known is not None
        if said[name] is None:
            said[name] = known[name]
        elif known[name] is not None and said[name] != known[name]:
            raise ValueError(f"{name}: {said[name]} is another than {known[name]}, as it is known")
    level, own = said["level"], said["external_entity_id"]
    for name, of_level in (("account_id", "account"), ("campaign_id", "campaign"),
                           ("adset_id", "adset")):  # fmt: skip
        if level == of_level:
            if said[name] not in (None, own):
                raise ValueError(f"{name}: {said[name]} is another than external_entity_id, {own}")
            said[name] = own
    if level == "account" and (said["campaign_id"] or said["adset_id"]):
        raise ValueError("campaign_id: an account is in no campaign")
    if level == "campaign" and said["adset_id"]:
        raise ValueError("adset_id: a campaign is in no ad set")
    if said["account_id"] is None:
        raise ValueError("account_id: needed, as the entity is not known yet")
    return said


def _accounts(
    connection: Connection, workspace_id: str, named: Mapping[_Identity, Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Whose each account is, with its currency and timezone; new ones are this workspace's.

    Locks them until the transaction ends, so that two batches of an account follow each other.
    """
    wanted: dict[tuple[str, str], _Identity] = {}
    for identity, entity in named.items():
        key = (entity["provider"], entity["account_id"])
        if wanted.setdefault(key, identity).timezone is None:
            wanted[key] = identity  # one that says where the account is
    for provider, account_id in sorted(wanted):
        connection.execute(
            "select pg_advisory_xact_lock(hashtext('meta-ads ingest'), hashtext(%s))",
            [f"{provider}:{account_id}"],
        )
    pulled = {
        ("meta", row["account_id"]): row
        for row in connection.execute(
            "select account_id, workspace_id::text as workspace_id, currency, timezone"
            " from control.ad_accounts where account_id = any(%s)",
            [[account_id for provider, account_id in wanted if provider == "meta"]],
        ).fetchall()
    }
    connection.cursor().executemany(
        "insert into raw.ingested_accounts (provider, account_id, workspace_id, currency, timezone)"
        " select %(provider)s, %(account)s, w.workspace_id, %(currency)s,"
        "   coalesce(%(timezone)s, w.display_timezone, 'UTC')"
        " from control.workspaces as w where w.workspace_id = %(workspace)s"
        " on conflict do nothing",
        [
            {
                "provider": provider,
                "account": account_id,
                "currency": identity.currency,
                "timezone": identity.timezone,
                "workspace": workspace_id,
            }
            for (provider, account_id), identity in sorted(wanted.items(), key=lambda i: i[0])
            if (provider, account_id) not in pulled
        ],
    )
    rows = connection.execute(
        "select a.provider, a.account_id, a.workspace_id::text as workspace_id, a.currency,"
        " a.timezone from raw.ingested_accounts as a"
        " inner join unnest(%s::text[], %s::text[]) as w (provider, account_id)"
        " using (provider, account_id)",
        [[key[0] for key in wanted], [key[1] for key in wanted]],
    ).fetchall()
    return {(row["provider"], row["account_id"]): row for row in rows} | pulled


def _copy(connection: Connection, facts: Iterable[tuple[int, FactRow, _Entity]]) -> None:
    """The columns of a line are those of the table, in its order."""
    connection.execute(sql("ingest_incoming"))
    prefixes: dict[int, str] = {}
    lines = []
    for n, row, entity in facts:
        prefix = prefixes.get(id(entity))
        if prefix is None:
            prefix = prefixes[id(entity)] = entity.copy_text()
        shown = "\t".join(["\\N" if value is None else str(value) for value in measures_of(row)])
        goal = "\\N" if row.goal is None else row.goal
        lines.append(f"{n}\t{prefix}\t{row.grain}\t{row.event_at.isoformat()}\t{goal}\t{shown}\n")
    with connection.cursor().copy("copy incoming from stdin") as copy:
        copy.write("".join(lines))


def _place(
    connection: Connection, workspace_id: str, refused: dict[int, tuple[str, str]], first: date
) -> list[tuple[int, str, str | None]]:
    """Put the copied facts in place; adds to ``refused`` those that cannot stand there.

    Row, natural key, and status of each; None where nothing was changed.
    """
    connection.execute(sql("ingest_facts"))
    connection.execute("analyze facts (natural_key, event_date, account_id, external_entity_id)")
    several = connection.execute(
        "select count(distinct level) > 1 or count(distinct grain) > 1 as found from facts"
    ).fetchone()
    assert several is not None
    statement = sql(
        "ingest_refused",
        measures_of_r=f"({_MEASURES_OF_R})",
        has_several="true" if several["found"] else "false",
    )
    asked = {"workspace": workspace_id, "first": first}
    for row in connection.execute(statement, asked):
        refused.setdefault(row["n"], (row["field"], row["reason"]))
    cursor = connection.cursor(row_factory=tuple_row)
    upsert = sql(
        "ingest_upsert",
        replaced=", ".join(_REPLACED),
        replaced_old=", ".join(f"r.{name}" for name in _REPLACED),
        replaced_new=", ".join(f"excluded.{name}" for name in _REPLACED),
    )
    cursor.execute(upsert, {"workspace": workspace_id, "refused": list(refused)})
    placed: list[tuple[int, str, str | None]] = cursor.fetchall()
    as_they_were = [n for n, _, status in placed if status is None and n not in refused]
    if as_they_were:
        cursor.execute(sql("ingest_taken"), {"workspace": workspace_id, "rows": as_they_were})
        for n, natural_key in cursor:
            field = "external_entity_id"
            reason = f"{field}: {natural_key} is the key of a fact of another account or level"
            refused[n] = (field, reason)
    return placed


def _keep_entities(connection: Connection, workspace_id: str, entities: set[_Entity]) -> None:
    connection.cursor().executemany(
        "insert into raw.ingested_entities as e (entity_id, workspace_id, provider, level,"
        " external_entity_id, account_id, campaign_id, adset_id)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (entity_id) do update set"
        " campaign_id = coalesce(excluded.campaign_id, e.campaign_id),"
        " adset_id = coalesce(excluded.adset_id, e.adset_id)"
        " where e.workspace_id = excluded.workspace_id and (e.campaign_id, e.adset_id)"
        " is distinct from (coalesce(excluded.campaign_id, e.campaign_id),"
        " coalesce(excluded.adset_id, e.adset_id))",
        [
            (
                each.entity_id, workspace_id, each.provider, each.level, each.external_entity_id,
                each.account_id, each.campaign_id, each.adset_id,
            )
            for each in sorted(entities, key=lambda each: str(each.entity_id))
        ],
    )  # fmt: skip


def _letter(
    workspace_id: str, document: Any, field: str, reason: str, source_call: str
) -> DeadLetter:
    is_object = isinstance(document, dict)
    said = document if is_object else {}
    text = (
        json_text(document.text[:100_000])
        if isinstance(document, Unreadable)
        else json_text(document)
    )
    entity = said.get("external_entity_id") or said.get("entity_id")
    return DeadLetter(
        account_id=_short(said.get("account_id")),
        asset=INGEST_ASSET,
        reason=storable_text(reason)[:1000],
        document=text,
        object_id=_short(entity) if entity is not None else None,
        field=field or None,
        key=_short([said.get(name) for name in ("provider", "level", "grain", "event_at")]),
        source_call=source_call,
        workspace_id=workspace_id,
    )


def _short(value: Any) -> str:
    """An id as text; whatever else stands in its place, as JSON."""
    if value is None:
        return ""
    return storable_text(value if isinstance(value, str) else json_text(value))[:200]

"""Land the ad accounts that a token reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from meta_ads_pipeline.control import dead_letters
from meta_ads_pipeline.control.accounts import (
    DEFAULT_WORKSPACE_ID,
    Account,
    UnknownAccountError,
    inactive_account_ids,
    save_accounts,
)
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.control.timezones import record_timezones, update_timezone_alerts
from meta_ads_pipeline.credentials.checks import account_by_id
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.paging import LeftOut, Listing
from meta_ads_pipeline.raw.context import Document, PullContext
from meta_ads_pipeline.raw.dead_letters import dead_letter, dead_letter_of_left_out
from meta_ads_pipeline.raw.entities import document_hash
from meta_ads_pipeline.raw.json_text import TooDeepError, json_text, storable_text
from meta_ads_pipeline.raw.normalize import shown
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_CURRENCY = re.compile(r"[A-Z]{3}")
_STATUS = re.compile(r"[0-9]{1,4}")


def pull_ad_accounts(
    database: Database,
    client: MetaAdsClient,
    *,
    only: Sequence[str] = (),
    workspace_id: str = DEFAULT_WORKSPACE_ID,
    ctx: PullContext,
) -> list[Account]:
    """Read the ad accounts of one token and land them.

    Returns those to sync: the ones named in ``only``, else all that the token lists but those made
    inactive in ``control.ad_accounts``. Raises ``UnknownAccountError`` when one of ``only`` cannot
    be read, ``MetaApiError`` when the accounts cannot be read at all, or, after landing those that
    came, when their list was left before its end and ``only`` names none.
    """
    wanted = list(dict.fromkeys(account.removeprefix("act_") for account in only))
    pulled_at = ctx.now()
    listed = listed_accounts(client)
    documents = dict(listed.documents)
    refused: list[str] = []
    for account_id in wanted:
        if account_id not in documents:
            document = account_by_id(client, account_id)
            if isinstance(document, MetaApiError):
                refused.append(account_id)
            else:
                documents[account_id] = document
    if refused:
        raise UnknownAccountError(
            refused, {key: account_name(document) for key, document in documents.items()}
        )
    inactive = set() if wanted else inactive_account_ids(database)
    chosen = [each for each in wanted or sorted(documents) if each not in inactive]
    accounts = land_accounts(
        database,
        {each: documents[each] for each in chosen},
        workspace_id,
        pulled_at,
        listed.left_out,
    )
    if listed.ended_early is not None and not wanted:
        raise listed.ended_early
    return accounts


@dataclass(frozen=True)
class ListedAccounts:
    """The accounts that a token lists, by id without ``act_``, and what is missing from the list.

    ``left_out`` are refused: fields of a document, or whole accounts, which have no document then.
    ``ended_early`` says why the list was left: then there may be accounts that are not in it.
    """

    documents: Mapping[str, Document]
    left_out: Mapping[str, LeftOut]
    ended_early: MetaApiError | None


def listed_accounts(client: MetaAdsClient) -> ListedAccounts:
    """The accounts that the token lists. Raises ``MetaApiError``."""
    listing = Listing.of(client.get_accounts())
    return ListedAccounts(
        {_account_id(document): document for document in listing},
        {each.object_id.removeprefix("act_"): each for each in listing.left_out},
        listing.ended_early,
    )


def land_accounts(
    database: Database,
    documents: Mapping[str, Document],
    workspace_id: str,
    pulled_at: datetime,
    left_out: Mapping[str, LeftOut] = MappingProxyType({}),
) -> list[Account]:
    """Land documents by account id in ``raw.ad_accounts`` and ``control.ad_accounts``.

    What cannot be used is a dead letter, and so is what was ``left_out`` of a document; returns the
    accounts that landed, by id.
    """
    accounts: list[Account] = []
    letters: list[DeadLetter] = []
    for account_id, document in sorted(documents.items()):
        problem = _problem(document)
        if problem is not None:
            letters.append(_dead_letter_of(account_id, document, *problem))
        else:
            accounts.append(_account(account_id, document, workspace_id))
        if account_id in left_out:
            letters.append(
                dead_letter_of_left_out(
                    left_out[account_id],
                    account_id=account_id,
                    asset="ad_accounts",
                    source_call="me/adaccounts",
                )
            )

    def land(connection: Connection) -> None:
        for account in accounts:
            _land(connection, account, documents[account.account_id], pulled_at)
        save_accounts(connection, accounts)
        record_timezones(connection, accounts, pulled_at)
        dead_letters.record(connection, letters)
        for account in accounts:
            dead_letters.resolve_by_pull(connection, account.account_id, "ad_accounts", letters)

    database.run(land)
    update_timezone_alerts(database, accounts, now=pulled_at)
    return accounts


def land_account(
    connection: Connection, document: Document, workspace_id: str, pulled_at: datetime
) -> str | None:
    """Land one ad account's document by itself; returns why not, where it cannot be used."""
    problem = _problem(document)
    if problem is not None:
        return problem[1]
    account = _account(_account_id(document), document, workspace_id)
    _land(connection, account, document, pulled_at)
    save_accounts(connection, [account])
    record_timezones(connection, [account], pulled_at)
    return None


def _land(
    connection: Connection, account: Account, document: Document, pulled_at: datetime
) -> None:
    parameters = {
        "id": account.account_id,
        "name": account.name,
        "currency": account.currency,
        "timezone": account.timezone,
        "document": json_text(document),
        "hash": document_hash(document),
        "at": pulled_at,
    }
    before = connection.execute(
        "select document from raw.ad_accounts where account_id = %(id)s for update",
        parameters,
    ).fetchone()
    connection.execute(
        sql("save_raw_account"),
        parameters,
    )
    if before is None or _differ(before["document"], document):
        connection.execute(
            sql("add_account_version"),
            parameters,
        )


def _differ(before: Document, after: Document) -> bool:
    """Whether something that both documents tell has changed.

    Two connections, or one whose permissions changed, are given different sets of fields: what one
    of the documents lacks was not told, which is no change of the account.
    """
    told = before.keys() & after.keys()
    old, new = ({key: each[key] for key in told} for each in (before, after))
    return document_hash(old) != document_hash(new)


def _account_id(document: Document) -> str:
    """Only ``id`` carries ``act_``; either may be absent from what the token may see."""
    return str(document.get("account_id") or document.get("id", "")).removeprefix("act_")


def account_name(document: Document) -> str | None:
    """The name as Postgres can store it; None where there is none."""
    name = document.get("name")
    return storable_text(name) if isinstance(name, str) else None


def _account(account_id: str, document: Document, workspace_id: str) -> Account:
    status = str(document.get("account_status"))
    return Account(
        account_id=account_id,
        timezone=document["timezone_name"],
        currency=document["currency"],
        name=account_name(document),
        workspace_id=workspace_id,
        account_status=int(status) if _STATUS.fullmatch(status) else None,
    )


def _problem(document: Document) -> tuple[str, str] | None:
    """The field at fault and why, for an account that cannot be synced."""
    account_id = _account_id(document)
    if not (account_id.isascii() and account_id.isdigit()):
        return "account_id", "account_id: expected an id of digits"
    currency, timezone = document.get("currency"), document.get("timezone_name")
    if not isinstance(currency, str) or _CURRENCY.fullmatch(currency) is None:
        return "currency", f"currency: expected an ISO 4217 code, got {shown(currency)}"
    if not isinstance(timezone, str) or not timezone:
        return "timezone_name", "timezone_name: expected a value (the field is required)"
    try:
        ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):
        return "timezone_name", (
            f"timezone_name: expected an IANA timezone, got {timezone!r}; if it is a new one, "
            "update the tzdata package"
        )
    try:
        json_text(document)
    except TooDeepError:
        return "document", "document: expected fewer levels of nesting"
    return None


def _dead_letter_of(account_id: str, document: Document, field: str, reason: str) -> DeadLetter:
    return dead_letter(
        account_id=account_id,
        asset="ad_accounts",
        reason=reason,
        document=document,
        object_id=account_id,
        field=field,
        source_call="me/adaccounts",
    )

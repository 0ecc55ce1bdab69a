"""Land the ad accounts of several connections, each read with its own token."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from meta_ads_pipeline.control.accounts import Account, UnknownAccountError
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.clients import ConnectedClient, ConnectedClients
from meta_ads_pipeline.credentials.connection_accounts import claim_accounts
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts

logger = logging.getLogger(__name__)


@dataclass
class ConnectedAccounts:
    """The accounts to sync, by id, and the failures of connections by ``workspace/name``."""

    accounts: list[Account] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)


def pull_connected_accounts(
    database: Database,
    clients: ConnectedClients,
    *,
    only: Sequence[str] = (),
    ctx: PullContext,
) -> ConnectedAccounts:
    """Land the ad accounts of every connection and note which connection reads which.

    ``only`` names accounts (ids, with or without ``act_``), whichever connection reads them.
    Raises ``UnknownAccountError`` when none reads one of them, and the first connection's error
    when no connection could read anything.
    """
    result = ConnectedAccounts()
    wanted = list(dict.fromkeys(account.removeprefix("act_") for account in only))
    readable: dict[str, str | None] = {}
    missing = set(wanted)
    for each in clients:
        own = each.connection.connection_id
        ids = [a for a in wanted if a in missing and clients.owner_of(a) in {None, own}]
        if wanted and not ids:
            continue
        try:
            found, unknown = _pull(database, each, ids or each.only, ctx)
        except MetaApiError as error:
            result.failures[each.connection.label] = error
            missing -= {a for a in ids if clients.owner_of(a) == own}  # its failure says it all
            continue
        if unknown is not None:
            readable |= unknown.readable
            if not wanted:
                result.failures[each.connection.label] = unknown
        mine = [a for a in found if clients.owner_of(a.account_id) in {None, own}]
        claim_accounts(
            database,
            own,
            [account.account_id for account in mine],
            in_use=[other.connection.connection_id for other in clients],
        )
        result.accounts += mine
        missing -= {account.account_id for account in mine}
    if missing and not result.failures:
        raise UnknownAccountError(sorted(missing), readable)
    if result.failures and not result.accounts:
        raise next(iter(result.failures.values()))
    for label, failure in result.failures.items():
        logger.error("connection %s: %s", label, failure)
    result.accounts.sort(key=lambda account: account.account_id)
    return result


def _pull(
    database: Database, connected: ConnectedClient, only: Sequence[str], ctx: PullContext
) -> tuple[list[Account], UnknownAccountError | None]:
    """The accounts that can be read, and which of ``only`` cannot."""
    workspace_id = connected.connection.workspace_id
    try:
        return (
            pull_ad_accounts(
                database, connected.client, only=only, workspace_id=workspace_id, ctx=ctx
            ),
            None,
        )
    except UnknownAccountError as error:
        rest = [account for account in only if account not in error.unknown]
        if not rest:
            return [], error
        accounts = pull_ad_accounts(
            database, connected.client, only=rest, workspace_id=workspace_id, ctx=ctx
        )
        return accounts, error

"""Land the ad accounts of several connections, each read with its own token."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from meta_ads_pipeline.control.account_states import (
    AccountState,
    known_accounts,
    mark_readable,
    mark_unreadable,
)
from meta_ads_pipeline.control.accounts import Account, UnknownAccountError
from meta_ads_pipeline.control.alerts import Alert, Severity, update_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.checks import account_by_id
from meta_ads_pipeline.credentials.clients import ConnectedClient, ConnectedClients
from meta_ads_pipeline.credentials.connection_accounts import assign_accounts
from meta_ads_pipeline.credentials.status import verdict_of_error
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.paging import LeftOut
from meta_ads_pipeline.raw.context import Document, PullContext
from meta_ads_pipeline.raw.pull_accounts import (
    ListedAccounts,
    account_name,
    land_accounts,
    listed_accounts,
)

logger = logging.getLogger(__name__)

LIST_INCOMPLETE = "account_list_incomplete"
"""The kind of alert that stands while a connection's accounts cannot be listed to the end."""


@dataclass
class ConnectedAccounts:
    """The accounts to sync, by id, and what is missing.

    ``failures`` are of connections, by ``workspace/name``, and so are ``incomplete`` lists, behind
    whose end there may be accounts that nobody knows. ``left_out`` are accounts that should be
    synced and could not be read, by id, with the reason.
    """

    accounts: list[Account] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    incomplete: dict[str, MetaApiError] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def pull_connected_accounts(
    database: Database,
    clients: ConnectedClients,
    *,
    only: Sequence[str] = (),
    even_stopped: bool = True,
    ctx: PullContext,
) -> ConnectedAccounts:
    """Land the ad accounts of every connection and note which connection reads which.

    ``only`` names accounts (ids, with or without ``act_``), whichever connection reads them; with
    ``even_stopped`` those too that were stopped, and those that are asked for again later. An
    account whose own connection does not work is read with another one of its workspace. One that
    none reads is left out, and the others are landed all the same.

    Raises ``UnknownAccountError`` when none of ``only`` can be read, and the first connection's
    error when no connection could read anything.
    """
    wanted = list(dict.fromkeys(account.removeprefix("act_") for account in only))
    pull = _Pull(database, clients, ctx, frozenset(wanted) if even_stopped else frozenset())
    result = pull.run(wanted)
    if not result.accounts and wanted and not result.failures and result.left_out:
        raise UnknownAccountError(sorted(result.left_out), pull.readable)
    if result.failures and not result.accounts:
        raise next(iter(result.failures.values()))
    return result


class _Pull:
    """One pull: what every connection lists, and who reads which account."""

    def __init__(
        self,
        database: Database,
        clients: ConnectedClients,
        ctx: PullContext,
        explicit: Collection[str],
    ) -> None:
        self._database = database
        self._clients = clients
        self._pulled_at = ctx.now()
        self._explicit = explicit
        self._known = {each.account_id: each for each in known_accounts(database)}
        self._listed: dict[str, Mapping[str, Document]] = {}
        self._left_out: dict[str, Mapping[str, LeftOut]] = {}
        self._result = ConnectedAccounts()

    @property
    def readable(self) -> dict[str, str | None]:
        """The accounts that some connection lists, with their names."""
        return {
            account_id: account_name(document)
            for documents in self._listed.values()
            for account_id, document in documents.items()
        }

    def run(self, wanted: Sequence[str]) -> ConnectedAccounts:
        for each in self._clients:
            try:
                listed = listed_accounts(each.client)
            except MetaApiError as error:
                self._fail(each, error)
            else:
                self._listed[each.connection.connection_id] = listed.documents
                self._left_out[each.connection.connection_id] = listed.left_out
                if not wanted and not each.only:  # chosen accounts are read by id, listed or not
                    self._tell_of_end(each, listed)
        found: dict[str, dict[str, Document]] = {}
        for account_id in sorted(set(wanted) or self._to_sync()):
            if self._is_skipped(account_id):
                continue
            read = self._read(account_id)
            if read is not None:
                reader, document = read
                found.setdefault(reader.connection.connection_id, {})[account_id] = document
        for each in self._clients:
            self._land(each, found.get(each.connection.connection_id, {}))
        self._result.accounts.sort(key=lambda account: account.account_id)
        return self._result

    def _to_sync(self) -> set[str]:
        """What the connections are for, and what was synced with them so far."""
        ids = {
            account_id
            for account_id, known in self._known.items()
            if known.state is not AccountState.STOPPED
            and self._clients.owner_of(account_id) is not None
        }
        for each in self._clients:
            connection_id = each.connection.connection_id
            listed = {
                *self._listed.get(connection_id, ()),
                *self._left_out.get(connection_id, ()),
            }
            ids |= set(each.only) or listed
        return ids

    def _is_skipped(self, account_id: str) -> bool:
        """Whether it is stopped, or cannot be read and is not to be asked for yet."""
        known = self._known.get(account_id)
        if known is None or account_id in self._explicit or known.state is AccountState.ACTIVE:
            return False
        if known.state is AccountState.STOPPED:
            return True
        if any(account_id in documents for documents in self._listed.values()):
            return False
        if known.next_try_at is not None and known.next_try_at <= self._pulled_at:
            return False
        self._result.left_out[account_id] = known.reason or str(known.state)
        return True

    def _read(self, account_id: str) -> tuple[ConnectedClient, Document] | None:
        """The account's document and who read it: its own connection, else another that can."""
        candidates = self._candidates(account_id)
        for each in candidates:
            listed = self._listed.get(each.connection.connection_id, {})
            if account_id in listed:
                return each, listed[account_id]
        refusal: MetaApiError | None = None
        for each in candidates:
            if not each.usable or each.connection.connection_id not in self._listed:
                continue
            try:
                document = account_by_id(each.client, account_id)
            except MetaApiError as error:
                self._result.left_out[account_id] = str(error)
                return None
            if not isinstance(document, MetaApiError):
                return each, document
            refusal = document
        owner = self._clients.owner_of(account_id)
        failed = [each for each in candidates if each.connection.label in self._result.failures]
        if failed and (owner is None or owner == failed[0].connection.connection_id):
            label = failed[0].connection.label
            self._result.left_out[account_id] = (
                f"connection {label}: {self._result.failures[label]}"
            )
        elif refusal is not None:
            reason = verdict_of_error(refusal).reason or str(refusal)
            self._result.left_out[account_id] = reason
            # A mistyped id of one request is nobody's ad account.
            if account_id in self._known or account_id not in self._explicit:
                mark_unreadable(self._database, account_id, reason, self._pulled_at)
        return None

    def _candidates(self, account_id: str) -> list[ConnectedClient]:
        """The connections that may read it, its own first; never one of another workspace."""
        owner = self._clients.owner_of(account_id)
        own = [each for each in self._clients if each.connection.connection_id == owner]
        workspaces = {each.connection.workspace_id for each in own}
        others = [
            each
            for each in self._clients
            if each not in own and (not own or each.connection.workspace_id in workspaces)
        ]
        return own + others

    def _land(self, reader: ConnectedClient, documents: dict[str, Document]) -> None:
        connection = reader.connection
        accounts = land_accounts(
            self._database,
            documents,
            connection.workspace_id,
            self._pulled_at,
            self._left_out.get(connection.connection_id, {}),
        )
        ids = [account.account_id for account in accounts]
        assign_accounts(self._database, connection.connection_id, ids)
        for account_id in ids:
            self._clients.assign(account_id, connection.connection_id)
        mark_readable(self._database, ids, self._pulled_at)
        self._result.accounts += accounts
        for account_id in documents.keys() - set(ids):
            self._result.left_out[account_id] = "its document cannot be used: see dead letters"

    def _tell_of_end(self, reader: ConnectedClient, listed: ListedAccounts) -> None:
        """Alert while the list of a connection's accounts is left before its end."""
        connection, error = reader.connection, listed.ended_early
        alerts = []
        if error is not None:
            self._result.incomplete[connection.label] = error
            alert = Alert(
                LIST_INCOMPLETE,
                connection.subject,
                Severity.WARNING,
                f"{connection.subject}: the list of its ad accounts was left before its end, with "
                f"{len(listed.documents)} accounts read; those behind it are synced only if they "
                f"were before. {error}",
                "If it lasts, name the accounts that are missing: `meta-ads connect --account`, or "
                "META_AD_ACCOUNT_IDS for the environment's token. They are read by their ids",
            )
            alerts.append(alert)
        update_alerts(
            self._database, connection.subject, alerts, [LIST_INCOMPLETE], now=self._pulled_at
        )

    def _fail(self, reader: ConnectedClient, error: MetaApiError) -> None:
        self._result.failures[reader.connection.label] = error
        logger.error("connection %s: %s", reader.connection.label, error)

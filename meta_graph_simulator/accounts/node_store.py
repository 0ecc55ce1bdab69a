"""The objects that are served: look-up over all accounts, and what hangs under what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from meta_graph_simulator.accounts.changes import ChangeableAccount
from meta_graph_simulator.accounts.source import AccountSource, Document, Entities, Kind

EDGES: dict[str, dict[str, Kind]] = {
    "account": {
        "campaigns": "campaign",
        "adsets": "adset",
        "ads": "ad",
        "adcreatives": "creative",
    },
    "campaign": {"adsets": "adset", "ads": "ad"},
    "adset": {"ads": "ad", "adcreatives": "creative"},
    "ad": {"adcreatives": "creative"},
    "creative": {},
}
# Edges of the real account node that the simulated accounts have nothing on.
EMPTY_EDGES = frozenset(
    {
        "activities",
        "adimages",
        "advideos",
        "customaudiences",
        "adspixels",
        "adlabels",
        "adrules_library",
    }
)
REMOVED = frozenset({"ARCHIVED", "DELETED"})
_PARENT_KEYS = {"adset": "adset_id", "campaign": "campaign_id"}


@dataclass(frozen=True, slots=True)
class Node:
    """One object with the account it belongs to."""

    kind: str
    id: str
    document: Mapping[str, Any]
    source: AccountSource
    account_id: str  # the owning account, without ``act_``


class NodeStore:
    """All accounts of a simulator, each open to changes at run time."""

    def __init__(self, sources: Iterable[AccountSource]) -> None:
        self.sources: dict[str, ChangeableAccount] = {
            str(source.account["account_id"]): (
                source if isinstance(source, ChangeableAccount) else ChangeableAccount(source)
            )
            for source in sources
        }
        self.purged: set[str] = set()
        self._timezones = {
            account_id: str(source.account.get("timezone_name", "UTC"))
            for account_id, source in self.sources.items()
        }
        # What changes at most once a simulated second, or with the objects.
        self._documents: dict[str, tuple[int, Document]] = {}
        self._active_ads: dict[str, tuple[Entities, int]] = {}

    def account(self, account_id: str) -> Node | None:
        """The account node by number, None if unknown."""
        number = account_id.removeprefix("act_")
        source = self.sources.get(number)
        if source is None or number in self.purged:
            return None
        return Node("account", f"act_{number}", self._document(number, source), source, number)

    def _document(self, account_id: str, source: ChangeableAccount) -> Document:
        second = int(source.now().timestamp())
        known = self._documents.get(account_id)
        if known is None or known[0] != second:
            known = self._documents[account_id] = (second, source.account)
        return known[1]

    def today(self, account_id: str) -> date:
        """The account-local date of the simulated present."""
        zone = ZoneInfo(self._timezones[account_id])
        return self.sources[account_id].now().astimezone(zone).date()

    def find(self, object_id: str) -> Node | None:
        """An object of any kind by id; accounts by ``act_`` id."""
        if object_id.startswith("act_"):
            return self.account(object_id)
        if object_id in self.purged:
            return None
        for account_id, source in self.sources.items():
            found = source.entities().find(object_id)
            if found is not None:
                return Node(found[0], object_id, found[1], source, account_id)
            for document in source.custom_conversions:
                if document["id"] == object_id:
                    return Node("customconversion", object_id, document, source, account_id)
        return None

    def children(self, node: Node, kind: Kind) -> list[Document]:
        """Objects of a kind under a node, archived and deleted ones included, in stable order."""
        documents: Sequence[Document] = node.source.objects(kind)
        if self.purged:
            documents = [doc for doc in documents if str(doc["id"]) not in self.purged]
        if node.kind == "account":
            return list(documents)
        if kind == "creative":
            wanted = self._creative_ids(node)
            return [doc for doc in documents if str(doc["id"]) in wanted]
        key = _PARENT_KEYS[node.kind]
        return [doc for doc in documents if str(doc.get(key)) == node.id]

    def _creative_ids(self, node: Node) -> set[str]:
        if node.kind == "ad":
            ads: Iterable[Mapping[str, Any]] = [node.document]
        else:
            ads = self.children(node, "ad")
        return {str(ad["creative"]["id"]) for ad in ads if "creative" in ad}

    @staticmethod
    def parents(node: Node, document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Ad set and campaign documents above an object of the node's account, by kind."""
        by_id = node.source.entities().by_id
        found: dict[str, Mapping[str, Any]] = {}
        for kind, key in (("adset", "adset_id"), ("campaign", "campaign_id")):
            parent = by_id[kind].get(str(document.get(key)))  # type: ignore[index]
            if parent is not None:
                found[kind] = parent
        return found

    def active_ads(self, account_id: str) -> int:
        """Number of ads that are running; budgets of the API grow with it."""
        source = self.sources.get(account_id)
        if source is None:
            return 0
        entities = source.entities()
        known = self._active_ads.get(account_id)
        if known is None or known[0] is not entities:
            active = sum(ad.get("effective_status") == "ACTIVE" for ad in entities.documents["ad"])
            known = self._active_ads[account_id] = (entities, active)
        return known[1]

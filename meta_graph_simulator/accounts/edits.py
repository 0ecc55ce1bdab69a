"""Edited objects and added ads, as an advertiser makes them; statuses follow their parents'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meta_graph_simulator.accounts.source import KINDS, Document, Entities

_OF_A_PARENT = {"CAMPAIGN_PAUSED", "ADSET_PAUSED"}


@dataclass(slots=True)
class Edits:
    """Members of documents that are others now, by object id; and ads that are new."""

    changed: dict[str, Document] = field(default_factory=dict)
    ads: list[Document] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changed or self.ads)

    def new_ad(self, entities: Entities, adset_id: str, name: str, created: str) -> Document:
        """Add an ad like the ad set's newest one; ``created`` is Meta's text of an instant.

        Raises ``ValueError`` for an ad set without ads.
        """
        siblings = [ad for ad in entities.documents["ad"] if ad.get("adset_id") == adset_id]
        if not siblings:
            raise ValueError(f"no ad set with ads has the id {adset_id}")
        ids = [int(ad["id"]) for ad in (*entities.documents["ad"], *self.ads)]
        active = {"status": "ACTIVE", "configured_status": "ACTIVE", "effective_status": "ACTIVE"}
        when = {"created_time": created, "updated_time": created}
        made = {**siblings[0], "id": str(max(ids) + 1), "name": name, **active, **when}
        made.pop("issues_info", None)
        self.ads.append(made)
        return made

    def applied(self, below: Entities) -> Entities:
        """The documents as they are after the edits."""
        documents = {kind: list(below.documents[kind]) for kind in KINDS}
        documents["ad"] = [*self.ads, *documents["ad"]]
        moved = {object_id for object_id, new in self.changed.items() if "status" in new}
        for kind in KINDS:
            documents[kind] = [
                {**document, **self.changed.get(str(document["id"]), {})}
                for document in documents[kind]
            ]
        by_id = {str(each["id"]): each for kind in KINDS for each in documents[kind]}
        for kind in KINDS:
            documents[kind] = [
                _following(document, by_id, moved, self.changed) for document in documents[kind]
            ]
        return Entities.of(documents)


def _following(
    document: Document,
    by_id: Mapping[str, Document],
    moved: set[str],
    changed: Mapping[str, Document],
) -> Document:
    """The document with the effective status that its own and its parents' statuses give it."""
    object_id, parents = str(document["id"]), _parents(document)
    if "effective_status" not in document or moved.isdisjoint({object_id, *parents.values()}):
        return document
    if "effective_status" in changed.get(object_id, {}):
        return document
    own = str(document["status"])
    if own == "ACTIVE":
        paused = [
            f"{name}_PAUSED"
            for name, parent in parents.items()
            if by_id.get(parent, {}).get("status") == "PAUSED"
        ]
        kept = str(document["effective_status"])
        told = object_id in moved or kept in _OF_A_PARENT
        own = paused[0] if paused else own if told else kept
    return {**document, "configured_status": document["status"], "effective_status": own}


def _parents(document: Document) -> dict[str, str]:
    keys: Sequence[tuple[str, str]] = (("CAMPAIGN", "campaign_id"), ("ADSET", "adset_id"))
    return {name: str(document[key]) for name, key in keys if key in document}

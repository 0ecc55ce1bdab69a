"""Which ads an insights request covers, and the objects that its rows stand for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from meta_graph_simulator.accounts.source import (
    AccountSource,
    Document,
    Entities,
    Level,
    ParameterError,
)
from meta_graph_simulator.graph.filtering import compare
from meta_graph_simulator.insights.query import InsightsQuery

_OWNERS: dict[str, Level] = {
    "ad": "ad",
    "adgroup": "ad",
    "adset": "adset",
    "campaign": "campaign",
    "campaign_group": "campaign",
    "account": "account",
}
_STATUS_FIELDS = frozenset({"effective_status", "status", "configured_status", "delivery_info"})
_REMOVED = frozenset({"ARCHIVED", "DELETED"})
_METRIC_FIELDS = frozenset(
    {"spend", "impressions", "clicks", "inline_link_clicks", "reach", "frequency", "ctr", "cpc"}
    | {"cpm", "cpp", "unique_clicks"}
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """An ad with everything above it; a missing document is an empty one."""

    ad: Document
    adset: Document
    campaign: Document


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a request, by what they apply to."""

    objects: tuple[tuple[Level, str, str, Any], ...]  # owner, field, operator, value
    metrics: tuple[tuple[str, str, Any], ...]
    action_types: tuple[tuple[str, Any], ...]
    statuses_of: frozenset[Level]  # levels whose status is filtered: nothing is hidden there


def read_filters(query: InsightsQuery) -> Filters:
    """Sort the filters of a request. Raises ParameterError for an unknown field."""
    objects: list[tuple[Level, str, str, Any]] = []
    metrics: list[tuple[str, str, Any]] = []
    types: list[tuple[str, Any]] = []
    statuses: set[Level] = set()
    for item in query.filtering:
        name, operator, value = str(item["field"]), str(item["operator"]).upper(), item.get("value")
        prefix, _, leaf = name.rpartition(".")
        if leaf == "action_type":
            types.append((operator, value))
        elif leaf in _METRIC_FIELDS:
            metrics.append((leaf, operator, value))
        elif not prefix and leaf in {"ad_id", "adset_id", "campaign_id", "account_id"}:
            objects.append((_OWNERS[leaf.removesuffix("_id")], "id", operator, value))
        elif prefix in _OWNERS or not prefix:
            owner = _OWNERS[prefix] if prefix else query.level
            if leaf in _STATUS_FIELDS:
                statuses.add(owner)
            if leaf == "delivery_info":
                leaf, value = "effective_status", _upper(value)
            objects.append((owner, leaf, operator, value))
        else:
            raise ParameterError(
                f"(#100) Filtering field {name} with operation {operator.lower()} is not supported",
                blame_fields=("filtering",),
            )
    return Filters(tuple(objects), tuple(metrics), tuple(types), frozenset(statuses))


def _upper(value: Any) -> Any:
    if isinstance(value, list):
        return [str(item).upper() for item in value]
    return str(value).upper()


_LINEAGES: WeakKeyDictionary[Entities, dict[str, Lineage]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def lineages(entities: Entities) -> Mapping[str, Lineage]:
    """The lineage of every ad by its id."""
    with _LOCK:
        known = _LINEAGES.get(entities)
        if known is None:
            adsets, campaigns = entities.by_id["adset"], entities.by_id["campaign"]
            known = {}
            for ad in entities.documents["ad"]:
                adset = adsets.get(str(ad.get("adset_id")), {"id": ad.get("adset_id", "")})
                campaign = campaigns.get(
                    str(ad.get("campaign_id")), {"id": ad.get("campaign_id", "")}
                )
                known[str(ad["id"])] = Lineage(ad, adset, campaign)
            _LINEAGES[entities] = known
        return known


class Scope:
    """The ads of one request: who belongs to it, and which row each one adds to."""

    def __init__(
        self, source: AccountSource, query: InsightsQuery, filters: Filters, *, total: bool = False
    ) -> None:
        """With ``total``, one row stands for all objects of the query's level."""
        self.level: Level = "account" if total else query.level
        self.account = source.account
        self._query = query
        self._filters = filters
        self._lineages = lineages(source.entities())
        self._groups: dict[str, str | None] = {}

    def lineage(self, ad_id: str) -> Lineage:
        """The ad's documents; an ad of which none is known has only its id."""
        found = self._lineages.get(ad_id)
        return found or Lineage({"id": ad_id}, {"id": ""}, {"id": ""})

    def group(self, ad_id: str) -> str | None:
        """Id of the row's object that the ad adds to; None where it is outside the request."""
        try:
            return self._groups[ad_id]
        except KeyError:
            group = self._groups[ad_id] = self._group(self.lineage(ad_id))
            return group

    def groups(self, ad_ids: Sequence[str]) -> list[str | None]:
        """``group`` of several ads."""
        return [self.group(ad_id) for ad_id in ad_ids]

    def _owner(self, lineage: Lineage, level: Level) -> Document:
        if level == "account":
            return self.account
        found: Document = getattr(lineage, level)
        return found

    def _group(self, lineage: Lineage) -> str | None:
        wanted = self._query.object_id
        ids = {str(lineage.ad["id"]), str(lineage.adset["id"]), str(lineage.campaign["id"])}
        if wanted is not None and wanted not in ids:
            return None
        for level, field, operator, value in self._filters.objects:
            owner = self._owner(lineage, level)
            actual = owner.get("account_id" if level == "account" and field == "id" else field)
            if not compare(actual, operator, value):
                return None
        if self._hidden(self._owner(lineage, self._query.level)):
            return None
        return str(self._owner(lineage, self.level)["id"])

    def _hidden(self, row_object: Document) -> bool:
        """Archived and deleted objects are left out of their own level's rows by default."""
        query = self._query
        if not query.hide_removed or query.level == "account":
            return False
        if query.level in self._filters.statuses_of or row_object["id"] == query.object_id:
            return False
        return row_object.get("effective_status") in _REMOVED


def keeps_action_type(filters: Filters, name: str) -> bool:
    """Whether an action type passes the ``action_type`` filters."""
    return all(compare(name, operator, value) for operator, value in filters.action_types)


def keeps_row(filters: Filters, values: Mapping[str, Any]) -> bool:
    """Whether a row passes the metric filters; a metric that the row lacks counts as 0."""
    return all(
        compare(values.get(name, "0"), operator, value) for name, operator, value in filters.metrics
    )

"""Insights rows that are missing, late, odd, withheld, or older than Meta keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from meta_graph_simulator.faults.dates import requested_range
from meta_graph_simulator.faults.fault import Fault
from meta_graph_simulator.faults.kind import FaultKind, objects_of, texts
from meta_graph_simulator.graph.call import GraphCall
from meta_graph_simulator.graph.errors import GraphError

_RESULTS = frozenset({"insights", "report_insights"})
_HOUR = "hourly_stats_aggregated_by_advertiser_time_zone"
_LISTS = ("actions", "action_values", "purchase_roas", "cost_per_action_type")


def _kept(document: Any, keeps: Callable[[dict[str, Any]], bool]) -> Any:
    """The document with the rows that stay; None if all of them do."""
    rows = list(objects_of(document))
    kept = [row for row in rows if keeps(row)]
    return document | {"data": kept} if len(kept) < len(rows) else None


class MissingRows(FaultKind):
    """No rows for dates that have some, as if nothing had been delivered."""

    name = "missing_rows"
    params = {"dates": "these dates; all by default"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        if call.edge not in _RESULTS:
            return None
        dates = texts(fault.params.get("dates"))
        return _kept(document, lambda row: bool(dates) and row.get("date_start") not in dates)


class OddDate(FaultKind):
    """One row of a page has no usable date."""

    name = "odd_date"
    params = {"date": "what stands there; absent: the key is missing", "index": "row, 0"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        rows = list(objects_of(document)) if call.edge in _RESULTS else []
        if not rows:
            return None
        row = rows[min(int(fault.number("index", 0)), len(rows) - 1)]
        row.pop("date_start", None)
        if "date" in fault.params:
            row["date_start"] = fault.params["date"]
        return document


class LateActions(FaultKind):
    """An action type that nobody knew comes in late, for one ad and all above it."""

    name = "late_actions"
    params = {
        "ad_id": "the ad that it is counted for",
        "action_type": "offsite_lead_add_20_s_calls",
        "value": "count on each day, 2",
        "before": "only dates before this one",
    }

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        if call.edge not in _RESULTS or "actions" not in call.fields:
            return None
        ad = self.nodes.find(str(fault.params.get("ad_id")))
        if ad is None or ad.account_id != call.account_id:
            return None
        above = {
            "ad_id": ad.id,
            "adset_id": ad.document.get("adset_id"),
            "campaign_id": ad.document.get("campaign_id"),
        }
        before = str(fault.params.get("before", "9999"))
        item = {
            "action_type": str(fault.params.get("action_type", "offsite_lead_add_20_s_calls")),
            "value": str(fault.params.get("value", 2)),
        }
        changed = False
        for row in objects_of(document):
            mine = all(row.get(name, identity) == identity for name, identity in above.items())
            if mine and _HOUR not in row and str(row.get("date_start")) < before:
                row["actions"] = [*row.get("actions", []), item]
                changed = True
        return document if changed else None


class ReorderedActions(FaultKind):
    """The items of ``actions`` and its kin come in another order: nothing has changed."""

    name = "reordered_actions"

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        changed = False
        for row in objects_of(document) if call.edge in _RESULTS else ():
            for name in _LISTS:
                if len(row.get(name) or ()) > 1:
                    row[name] = row[name][::-1]
                    changed = True
        return document if changed else None


def _is_purchase(item: dict[str, Any]) -> bool:
    return "purchase" in str(item.get("action_type"))


class WithheldPurchases(FaultKind):
    """Purchases are absent above the ad level (mixed iOS 14.5 campaigns)."""

    name = "withheld_purchases"

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        if call.edge not in _RESULTS or call.level == "ad":
            return None
        changed = False
        for row in objects_of(document):
            for name in _LISTS:
                kept = [item for item in row.get(name) or () if not _is_purchase(item)]
                if len(kept) < len(row.get(name) or ()):
                    row[name] = kept
                    changed = True
        return document if changed else None


class CollaborativeAds(FaultKind):
    """Collaborative ads: purchases are in ``catalog_segment_actions`` and
    ``catalog_segment_value`` (if asked for), at the ad level alone.
    """

    name = "collaborative_ads"

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        if call.edge not in _RESULTS:
            return None
        moves = (("actions", "catalog_segment_actions"), ("action_values", "catalog_segment_value"))
        changed = False
        for row in objects_of(document):
            for name, target in moves:
                bought = [item for item in row.get(name) or () if _is_purchase(item)]
                if not bought:
                    continue
                changed = True
                row[name] = [item for item in row[name] if not _is_purchase(item)]
                if call.level == "ad" and target in call.fields:
                    row[target] = bought
        return document if changed else None


class OldRange(FaultKind):
    """Code 3018 for the whole request: its range begins before what Meta keeps."""

    name = "old_range"
    params = {"before": "first date that is kept"}

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        found = requested_range(call)
        if found is None or call.edge not in {"insights", "insights_async"}:
            return None
        if found[0] >= date.fromisoformat(str(fault.params["before"])):
            return None
        return GraphError(
            3018,
            "(#3018) The start date of the time range cannot be beyond 37 months from the current"
            " date",
        )


class OldHours(FaultKind):
    """Rows by the hour are left out for dates that are older than Meta keeps hours for."""

    name = "old_hours"
    params = {"before": "first date whose hours are kept"}

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        before = str(fault.params["before"])
        return _kept(document, lambda row: _HOUR not in row or str(row["date_start"]) >= before)

"""Rows in wire form: every metric a text, a missing metric no key at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_graph_simulator.accounts.currencies import AmountTexts, offset, ratio_text
from meta_graph_simulator.accounts.source import (
    CLICKS,
    IMPRESSIONS,
    LINK_CLICKS,
    SPEND,
    Document,
    Ints,
    Level,
)
from meta_graph_simulator.insights.action_lists import ListFields
from meta_graph_simulator.insights.attribution_windows import attribution_setting
from meta_graph_simulator.insights.scope import Lineage, Scope
from meta_graph_simulator.insights.table import Columns, Table

Row = dict[str, Any]
_LEVELS: tuple[Level, ...] = ("account", "campaign", "adset", "ad")
DEFAULT_FIELDS = ("account_id", "campaign_id", "adset_id", "ad_id", "impressions", "spend")
_FROM_DOCUMENTS: dict[str, tuple[Level, str]] = {
    "campaign_id": ("campaign", "id"),
    "campaign_name": ("campaign", "name"),
    "objective": ("campaign", "objective"),
    "buying_type": ("campaign", "buying_type"),
    "adset_id": ("adset", "id"),
    "adset_name": ("adset", "name"),
    "optimization_goal": ("adset", "optimization_goal"),
    "adset_start": ("adset", "start_time"),
    "adset_end": ("adset", "end_time"),
    "ad_id": ("ad", "id"),
    "ad_name": ("ad", "name"),
}
_RANKINGS = ("quality_ranking", "engagement_rate_ranking", "conversion_rate_ranking")


class RowWriter:
    """Writes the rows of one request."""

    def __init__(
        self,
        scope: Scope,
        columns: Columns,
        fields: Sequence[str],
        *,
        with_reach: bool,
        with_unique_counts: bool,
    ) -> None:
        self._scope = scope
        self._columns = columns
        self._depth = _LEVELS.index(scope.level)
        self._money = AmountTexts(offset(str(scope.account["currency"])))
        self._with_reach, self._with_unique_counts = with_reach, with_unique_counts
        self._lists = ListFields(columns, self._money.offset)
        self._fields = [name for name in dict.fromkeys(fields) if self._exists(name)]

    def keep_types(self, names: frozenset[str]) -> None:
        """Show only these action types in list fields."""
        self._lists.keep_types(names)

    def rows(self, table: Table, start: date, stop: date) -> tuple[list[Row], list[int]]:
        """The rows of a date range, and the index of each one's object in the table."""
        cells = table.cells
        active: NDArray[np.bool_] = np.asarray(
            cells.metrics.any(axis=2) | cells.actions.any(axis=2) | cells.values.any(axis=2)
        )
        objects, places = np.nonzero(active)
        groups = objects.tolist()
        metrics = cells.metrics[active]
        people = cells.people[active]
        self._lists.load(cells, active, metrics, [table.zeros[group] for group in groups])
        ready: dict[str, Sequence[str]] = {}
        optional: dict[str, Sequence[Any]] = {}
        for name in self._fields:
            if name in _METRICS:
                ready[name] = self._metric(name, metrics)
            elif name in _PEOPLE:
                ready[name] = list(map(str, people[:, _PEOPLE[name]].tolist()))
            elif name in self._lists.names:
                optional[name] = self._lists.column(name)
            elif name in _RATIOS:
                optional[name] = self._ratio(name, metrics, people)
            else:
                texts = [self._text(name, ids) for ids in table.members]
                optional[name] = [texts[group] for group in groups]
        fixed = {"date_start": start.isoformat(), "date_stop": stop.isoformat()}
        names = tuple(ready)
        if names:
            rows = [
                dict(zip(names, values, strict=True))
                for values in zip(*ready.values(), strict=True)
            ]
        else:
            rows = [{} for _ in groups]
        for name, values in optional.items():
            for row, value in zip(rows, values, strict=True):
                if value is not None:
                    row[name] = value
        labels = self._columns.labels
        for row, place in zip(rows, places.tolist(), strict=True):
            row.update(fixed)
            row.update(labels[place])
        return rows, groups

    def _exists(self, name: str) -> bool:
        """Whether a field has a meaning at the level asked; others are left out of the row."""
        owner = _FROM_DOCUMENTS.get(name)
        if owner is not None:
            return _LEVELS.index(owner[0]) <= self._depth
        if name in _RANKINGS:
            return self._scope.level == "ad" and not any(self._columns.labels[0])
        if name in {"reach", "frequency", "cpp"} and not self._with_reach:
            return False
        if "unique_" in name and not self._with_unique_counts:
            return False
        known = name in {*_METRICS, *_PEOPLE, *_RATIOS} or name in self._lists.names
        return known or name in _TEXTS

    def _text(self, name: str, ad_ids: Sequence[str]) -> str | None:
        if name in _RANKINGS:
            return "UNKNOWN"
        lineage = self._scope.lineage(ad_ids[0])
        if name == "attribution_setting":
            found = {attribution_setting(self._scope.lineage(ad).adset) for ad in ad_ids}
            return found.pop() if len(found) == 1 else "multiple"
        owner = _FROM_DOCUMENTS.get(name)
        if owner is not None:
            return _known(getattr(lineage, owner[0]), owner[1])
        if name in {"created_time", "updated_time"}:
            found_time = _known(self._row_object(lineage), name)
            return found_time[:10] if found_time else None
        return _known(self._scope.account, _TEXTS[name])

    def _row_object(self, lineage: Lineage) -> Document:
        if self._scope.level == "account":
            return self._scope.account
        found: Document = getattr(lineage, self._scope.level)
        return found

    def _metric(self, name: str, metrics: Ints) -> list[str]:
        if name == "social_spend":
            return ["0"] * len(metrics)
        values = metrics[:, _METRICS[name]].tolist()
        if name == "spend":
            return list(map(self._money.__getitem__, values))
        return list(map(str, values))

    def _ratio(self, name: str, metrics: Ints, people: Ints) -> list[str | None]:
        if self._columns.hourly and name == "frequency":
            return ["0"] * len(metrics)
        facts = {
            "spend": metrics[:, SPEND].tolist(),
            "impressions": metrics[:, IMPRESSIONS].tolist(),
            "clicks": metrics[:, CLICKS].tolist(),
            "links": metrics[:, LINK_CLICKS].tolist(),
            **{each: people[:, place].tolist() for each, place in _PEOPLE.items()},
        }
        above, below, factor = _RATIOS[name]
        divisor = self._money.offset if above == "spend" else 1
        compute: Callable[[int, int], str | None] = lambda top, bottom: (  # noqa: E731
            ratio_text(top * factor, bottom * divisor) if bottom else None
        )
        return list(map(compute, facts[above], facts[below]))


_METRICS = {
    "spend": SPEND,
    "social_spend": SPEND,
    "impressions": IMPRESSIONS,
    "clicks": CLICKS,
    "inline_link_clicks": LINK_CLICKS,
}
_PEOPLE = {"reach": 0, "unique_clicks": 1, "unique_inline_link_clicks": 2}
_RATIOS = {
    "ctr": ("clicks", "impressions", 100),
    "cpc": ("spend", "clicks", 1),
    "cpm": ("spend", "impressions", 1000),
    "cpp": ("spend", "reach", 1000),
    "frequency": ("impressions", "reach", 1),
    "inline_link_click_ctr": ("links", "impressions", 100),
    "cost_per_inline_link_click": ("spend", "links", 1),
    "unique_ctr": ("unique_clicks", "reach", 100),
    "unique_inline_link_click_ctr": ("unique_inline_link_clicks", "reach", 100),
    "cost_per_unique_click": ("spend", "unique_clicks", 1),
    "cost_per_unique_inline_link_click": ("spend", "unique_inline_link_clicks", 1),
}
_TEXTS = {
    "account_id": "account_id",
    "account_name": "name",
    "account_currency": "currency",
    "attribution_setting": "",
    "created_time": "",
    "updated_time": "",
}


def _known(document: Document, name: str) -> str | None:
    value = document.get(name)
    return str(value) if value not in (None, "") else None

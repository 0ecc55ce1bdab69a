"""Fields whose value is a list by action type: actions, values, costs, returns, video counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_graph_simulator.accounts.currencies import AmountTexts, ratio_text
from meta_graph_simulator.accounts.source import IMPRESSIONS, SPEND, Ints
from meta_graph_simulator.insights.table import PARTS, Cells, Columns

Item = dict[str, str]
_ROAS = {
    "purchase_roas": ("omni_purchase", "purchase"),
    "website_purchase_roas": ("offsite_conversion.fb_pixel_purchase",),
    "mobile_app_purchase_roas": ("app_custom_event.fb_mobile_purchase",),
}
_PER_PART = {
    "cost_per_outbound_click": "outbound_clicks",
    "cost_per_thruplay": "video_thruplay_watched_actions",
}
_COUNTED = ("actions", "conversions")
_AMOUNTS = ("action_values", "conversion_values")
_COSTS = {"cost_per_action_type": "actions", "cost_per_conversion": "conversions"}
_OWN_TYPE = {"outbound_clicks": "outbound_click"}
# Percent of all reactions; the last one is what is left.
_REACTIONS = {"love": 14, "haha": 4, "wow": 3, "sorry": 2, "anger": 1, "like": None}
_SINGLE = ("inline_post_engagement", "cost_per_inline_post_engagement")


class ListFields:
    """Columns of list fields for the rows of one table. Items are shared: never change them."""

    names = frozenset(
        {*_COUNTED, *_COSTS, *_ROAS, *_PER_PART, *PARTS, *_SINGLE, *_AMOUNTS}
        | {"outbound_clicks_ctr", "website_ctr", "video_avg_time_watched_actions"}
    )

    def __init__(self, columns: Columns, currency_offset: int) -> None:
        types = columns.account_types
        self._columns = columns
        self._amount = AmountTexts(currency_offset * types.value_scale)
        self._count_text = AmountTexts(types.count_scale)
        self._offset = currency_offset
        self._scale, self._value_scale = types.count_scale, types.value_scale
        self._kept: frozenset[str] = frozenset(columns.types) | frozenset(columns.valued)
        self._items: dict[tuple[str, int], Item] = {}

    def keep_types(self, names: frozenset[str]) -> None:
        """Show only these action types (the ``action_type`` filter)."""
        self._kept = names

    def load(
        self,
        cells: Cells,
        active: NDArray[np.bool_],
        metrics: Ints,
        zeros: Sequence[frozenset[tuple[str, str]]],
    ) -> None:
        """Take the rows: the active cells of a table with their metrics and "0" items."""
        self._zeros = zeros
        self._actions = cells.actions[active]
        self._values = cells.values[active]
        self._window_actions = {w: array[active] for w, array in cells.window_actions.items()}
        self._window_values = {w: array[active] for w, array in cells.window_values.items()}
        self._spend: list[int] = metrics[:, SPEND].tolist()
        self._impressions: list[int] = metrics[:, IMPRESSIONS].tolist()

    def column(self, name: str) -> list[Any]:
        """One field for every row; None where it has nothing to say."""
        if name in _COUNTED:
            return self._counted(name)
        if name in _AMOUNTS:
            return self._amounts(name)
        if name in _COSTS:
            return self._costs(_COSTS[name])
        if name in _ROAS:
            return self._returns(_ROAS[name])
        if name in _SINGLE:
            return self._post_engagement(cost=name.startswith("cost"))
        if name in _PER_PART:
            return self._part_ratio(_PER_PART[name], per_part=True)
        if name == "outbound_clicks_ctr":
            return self._part_ratio("outbound_clicks", per_part=False)
        if name == "website_ctr":
            return self._part_ratio("link_click", per_part=False)
        if name == "video_avg_time_watched_actions":
            return self._average_time()
        return self._part(name)

    def _types(self, field: str) -> list[int]:
        return [index for index, name in enumerate(self._columns.types) if self._shows(field, name)]

    def _shows(self, field: str, name: str) -> bool:
        """Whether a list field reports a type: the conversions by name are in two fields only."""
        by_name = name in self._columns.account_types.named
        return name in self._kept and by_name == field.startswith("conversion")

    def _cells(self, array: Ints, columns: list[int]) -> zip[tuple[int, int, int]]:
        """(row, column, value) of every cell that is not zero, by row."""
        chosen = array[:, columns]
        rows, places = np.nonzero(chosen)
        index = np.array(columns, np.int64)[places] if columns else places
        return zip(rows.tolist(), index.tolist(), chosen[rows, places].tolist(), strict=True)

    def _counted(self, field: str) -> list[list[Item] | None]:
        made: list[list[Item] | None] = [None] * len(self._spend)
        items, types = self._items, self._columns.types
        windows = self._window_actions
        for row, column, value in self._cells(self._actions, self._types(field)):
            if windows:
                item = {"action_type": types[column], "value": self._count_text[value]}
                for window, array in windows.items():
                    part = int(array[row, column])
                    if part and window != "default":
                        item[window] = self._count_text[part]
            else:
                known = items.get((types[column], value))
                if known is None:
                    known = {"action_type": types[column], "value": self._count_text[value]}
                    items[types[column], value] = known
                item = known
            if self._columns.reactions and types[column] == "post_reaction":
                for reacted in _by_reaction(item):
                    _append(made, row, reacted)
            else:
                _append(made, row, item)
        return self._with_zeros(made, field)

    def _with_zeros(self, made: list[list[Item] | None], field: str) -> list[list[Item] | None]:
        """The items that Meta sent with the value "0", after those that count."""
        for row, zeros in enumerate(self._zeros):
            there = {item["action_type"] for item in made[row] or ()}
            for name in sorted(name for of, name in zeros if of == field):
                if name not in there and name in self._kept:
                    _append(made, row, {"action_type": name, "value": "0"})
        return made

    def _amounts(self, field: str) -> list[list[Item] | None]:
        made: list[list[Item] | None] = [None] * len(self._spend)
        names = self._columns.valued
        shown = [index for index, name in enumerate(names) if self._shows(field, name)]
        for row, column, value in self._cells(self._values, shown):
            item = {"action_type": names[column], "value": self._amount[value]}
            for window, array in self._window_values.items():
                part = int(array[row, column])
                if part and window != "default":
                    item[window] = self._amount[part]
            _append(made, row, item)
        return self._with_zeros(made, field)

    def _costs(self, field: str) -> list[list[Item] | None]:
        made: list[list[Item] | None] = [None] * len(self._spend)
        for row, column, value in self._cells(self._actions, self._types(field)):
            if not self._spend[row]:
                continue
            item = {
                "action_type": self._columns.types[column],
                "value": ratio_text(self._spend[row] * self._scale, value * self._offset),
            }
            for window, array in self._window_actions.items():
                part = int(array[row, column])
                if part and window != "default":
                    item[window] = ratio_text(self._spend[row] * self._scale, part * self._offset)
            _append(made, row, item)
        return made

    def _returns(self, preferred: tuple[str, ...]) -> list[list[Item] | None]:
        made: list[list[Item] | None] = [None] * len(self._spend)
        name = next((name for name in preferred if name in self._columns.valued), None)
        if name is None:
            return made
        column = self._columns.valued.index(name)
        for row, _, value in self._cells(self._values, [column]):
            spend = self._spend[row]
            if not spend:
                continue
            item = {"action_type": name, "value": ratio_text(value, spend * self._value_scale)}
            for window, array in self._window_values.items():
                part = int(array[row, column])
                if part and window != "default":
                    item[window] = ratio_text(part, spend * self._value_scale)
            _append(made, row, item)
        return made

    def _count(self, name: str) -> list[int]:
        column = self._columns.type_index(name)
        if column is None:
            return [0] * len(self._spend)
        counted: list[int] = self._actions[:, column].tolist()
        return counted

    def _part(self, name: str) -> list[list[Item] | None]:
        action_type = _OWN_TYPE.get(name, "video_view")
        return [
            [{"action_type": action_type, "value": self._count_text[count]}] if count else None
            for count in self._count(name)
        ]

    def _part_ratio(self, name: str, *, per_part: bool) -> list[list[Item] | None]:
        label = "video_view" if name.startswith("video") else name.removesuffix("s")
        made: list[list[Item] | None] = []
        for row, count in enumerate(self._count(name)):
            above, below = (
                (self._spend[row] * self._scale, count * self._offset)
                if per_part
                else (100 * count, self._impressions[row] * self._scale)
            )
            text = ratio_text(above, below) if count and below else None
            made.append([{"action_type": label, "value": text}] if text else None)
        return made

    def _average_time(self) -> list[list[Item] | None]:
        # A mean of seconds: by its nature it adds up over nothing.
        return [
            [{"action_type": "video_view", "value": str(3 + count % 6)}] if count else None
            for count in self._count("video_view")
        ]

    def _post_engagement(self, *, cost: bool) -> list[str | None]:
        made: list[str | None] = []
        for row, count in enumerate(self._count("post_engagement")):
            if cost:
                whole = count * self._offset
                price = self._spend[row] * self._scale
                made.append(ratio_text(price, whole) if count else None)
            else:
                made.append(self._count_text[count])
        return made


def _by_reaction(item: Item) -> list[Item]:
    """The item of ``post_reaction``, once for each reaction; their counts sum back."""
    left = {name: int(text) for name, text in item.items() if name != "action_type"}
    counts = dict(left)
    parts: list[Item] = []
    for reaction, percent in _REACTIONS.items():
        part = {"action_type": item["action_type"], "action_reaction": reaction}
        for name, count in counts.items():
            share = left[name] if percent is None else count * percent // 100
            left[name] -= share
            if share or name == "value":
                part[name] = str(share)
        if part["value"] != "0":
            parts.append(part)
    return parts


def _append(made: list[list[Item] | None], row: int, item: Item) -> None:
    there = made[row]
    if there is None:
        made[row] = [item]
    else:
        there.append(item)

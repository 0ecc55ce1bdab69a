"""Sums of delivery for one date range: rows' objects x hours or segments x measures, as integers.

Every derived count (an attribution window, a video quartile, the share of an age group) is split
off at the level of the single ad, day and hour before anything is summed, so whatever is asked at
one level or grain agrees with what is asked at another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from meta_graph_simulator.accounts.hashing import key, mix, unit
from meta_graph_simulator.accounts.source import (
    CLICKS,
    HOURS_PER_DAY,
    IMPRESSIONS,
    LINK_CLICKS,
    ActionTypes,
    DayDelivery,
    Ints,
)
from meta_graph_simulator.insights.attribution_windows import (
    DayWindows,
    attribution_setting,
    hour_window,
    live,
)
from meta_graph_simulator.insights.query import InsightsQuery
from meta_graph_simulator.insights.scope import Scope
from meta_graph_simulator.insights.validation import HOURLY

# Fields that count a part of an on-Meta action, in hundredths.
PARTS = {
    "video_play_actions": ("video_view", 100),
    "video_p25_watched_actions": ("video_view", 64),
    "video_p50_watched_actions": ("video_view", 42),
    "video_p75_watched_actions": ("video_view", 27),
    "video_p95_watched_actions": ("video_view", 18),
    "video_p100_watched_actions": ("video_view", 15),
    "video_30_sec_watched_actions": ("video_view", 21),
    "video_thruplay_watched_actions": ("video_view", 33),
    "outbound_clicks": ("link_click", 90),
}
PART_USERS = {
    "outbound_clicks_ctr": "outbound_clicks",
    "cost_per_outbound_click": "outbound_clicks",
    "cost_per_thruplay": "video_thruplay_watched_actions",
}
# Permille of each segment; countries share alike.
SEGMENTS: dict[str, dict[str, int]] = {
    "age": {"18-24": 140, "25-34": 290, "35-44": 240, "45-54": 170, "55-64": 100, "65+": 60},
    "gender": {"female": 520, "male": 460, "unknown": 20},
    "publisher_platform": {
        "facebook": 470,
        "instagram": 460,
        "audience_network": 50,
        "messenger": 20,
    },
    "device_platform": {"mobile_app": 820, "mobile_web": 60, "desktop": 120},
}
# Tenths of the other ads' people of a day, and of the other days' people, that are new.
_NEW_BY_AD, _NEW_BY_DAY = 8, 4
_UNIQUE_CLICKS = 93  # percent of an ad's clicks of a day
HOUR_LABELS = tuple(f"{hour:02d}:00:00 - {hour:02d}:59:59" for hour in range(HOURS_PER_DAY))


@dataclass(frozen=True)
class Columns:
    """The columns of a table: action types first, then the parts asked for."""

    types: tuple[str, ...]
    valued: tuple[str, ...]
    parts: tuple[str, ...]
    windows: tuple[str, ...]
    labels: tuple[Mapping[str, str], ...]  # breakdown keys of each cell of a row's object
    hourly: bool
    offsite: bool
    account_types: ActionTypes
    reactions: bool = False  # the action breakdown by reaction

    def type_index(self, name: str) -> int | None:
        """Column of an action type or part; None if the account has none."""
        names = (*self.types, *self.parts)
        return names.index(name) if name in names else None


def columns_for(query: InsightsQuery, types: ActionTypes, countries: Sequence[str]) -> Columns:
    """The columns that a request needs."""
    hourly = HOURLY in query.breakdowns
    fields = set(query.fields or ())
    wanted = fields | {PART_USERS[name] for name in fields if name in PART_USERS}
    offsite = not hourly or query.offsite_by_hour
    names = dict.fromkeys((*types.hourly, *(types.daily if offsite else ())))
    if hourly:
        labels: tuple[Mapping[str, str], ...] = tuple({HOURLY: label} for label in HOUR_LABELS)
    else:
        choices = [
            [(name, segment) for segment in SEGMENTS.get(name, dict.fromkeys(countries))]
            for name in query.breakdowns
        ]
        labels = tuple(dict(combination) for combination in product(*choices))
    return Columns(
        tuple(names),
        types.valued if offsite else (),
        tuple(name for name in PARTS if name in wanted),
        live(query.action_attribution_windows),
        labels,
        hourly,
        offsite,
        types,
        "action_reaction" in query.action_breakdowns,
    )


@dataclass
class Cells:
    """Measures by row object (first axis) and cell (second axis)."""

    metrics: Ints
    actions: Ints
    values: Ints
    people: Ints  # different ones: reached, who clicked, who clicked a link
    window_actions: dict[str, Ints]
    window_values: dict[str, Ints]

    def arrays(self) -> list[Ints]:
        """All arrays in a fixed order."""
        windows = [*self.window_actions.values(), *self.window_values.values()]
        return [self.metrics, self.actions, self.values, self.people, *windows]

    def map(self, arrays: Sequence[Ints]) -> Cells:
        """Cells with the same windows and other arrays."""
        count = len(self.window_actions)
        return Cells(
            arrays[0],
            arrays[1],
            arrays[2],
            arrays[3],
            dict(zip(self.window_actions, arrays[4 : 4 + count], strict=True)),
            dict(zip(self.window_values, arrays[4 + count :], strict=True)),
        )


@dataclass
class Table:
    """Cells of one date range with the row objects they belong to."""

    groups: list[str]
    members: list[list[str]]  # ad ids of each row object, first seen first
    cells: Cells
    zeros: list[frozenset[tuple[str, str]]]  # items with the value "0", of each row object


def day_cells(day: DayDelivery, columns: Columns, scope: Scope) -> Cells:
    """The measures of one day, one row an ad."""
    types = columns.account_types
    size = (len(columns.types) + len(columns.parts),)
    hours = HOURS_PER_DAY if columns.hourly else 1
    metrics = day.hours if columns.hourly else day.hours.sum(axis=1, keepdims=True)
    on_meta = day.hour_actions if columns.hourly else day.hour_actions.sum(axis=1, keepdims=True)
    actions = np.zeros((len(day.ad_ids), hours, *size), np.int64)
    actions[:, :, [columns.types.index(name) for name in types.hourly]] = on_meta
    for offset, name in enumerate(columns.parts):
        whole, percent = PARTS[name]
        if whole in types.hourly:
            part = day.hour_actions[:, :, types.hourly.index(whole)] * percent // 100
            actions[:, :, len(columns.types) + offset] = (
                part if columns.hourly else part.sum(axis=1, keepdims=True)
            )
    values = np.zeros((len(day.ad_ids), hours, len(columns.valued)), np.int64)
    window_actions = {window: hour_window(window, actions).copy() for window in columns.windows}
    window_values = {window: np.zeros_like(values) for window in columns.windows}
    if columns.offsite:
        place = [columns.types.index(name) for name in types.daily]
        actions[:, :, place] += _over_hours(day, day.day_actions, columns)
        values += _over_hours(day, day.day_values, columns)
        for window, counts, amounts in _day_windows(day, columns, scope):
            window_actions[window][:, :, place] += _over_hours(day, counts, columns)
            window_values[window] += _over_hours(day, amounts, columns)
    people = np.zeros((*metrics.shape[:2], 3), np.int64)
    if not columns.hourly:
        people[:, 0] = _people(day, metrics[:, 0])
    cells = Cells(metrics, actions, values, people, window_actions, window_values)
    if not columns.hourly and columns.labels[0]:
        return cells.map([_by_segment(array, day, columns) for array in cells.arrays()])
    return cells


def _people(day: DayDelivery, metrics: Ints) -> Ints:
    """Of each ad on its day: people reached, and those of them who clicked, and on a link."""
    clicking = -(-metrics[:, [CLICKS, LINK_CLICKS]] * _UNIQUE_CLICKS // 100)
    reached = day.reach[:, None]
    return np.concatenate([reached, np.minimum(clicking, np.maximum(reached, 1))], axis=1)


def _over_hours(day: DayDelivery, totals: Ints, columns: Columns) -> Ints:
    """Day totals as one cell, or spread over the hours by impressions so that they sum back."""
    if not columns.hourly:
        return totals[:, None, :]
    weights = day.hours[:, :, IMPRESSIONS]
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, 1)
    reached = weights.cumsum(axis=1)
    cumulative = totals[:, None, :] * reached[:, :, None] // reached[:, -1:, None]
    return _steps(cumulative)


def _steps(cumulative: Ints) -> Ints:
    """What each cell adds to the running total along the second axis."""
    steps = cumulative.copy()
    steps[:, 1:] -= cumulative[:, :-1]
    return steps


def _day_windows(day: DayDelivery, columns: Columns, scope: Scope) -> list[tuple[str, Ints, Ints]]:
    if not columns.windows:
        return []
    types = columns.account_types
    settings = [attribution_setting(scope.lineage(ad_id).adset) for ad_id in day.ad_ids]
    split = DayWindows(day.ad_ids, day.day.toordinal(), settings)
    counted = [types.daily.index(name) if name in types.daily else -1 for name in types.valued]
    made = []
    for window in columns.windows:
        part = split.counts(window, day.day_actions)
        whole = day.day_actions[:, counted]
        amounts = day.day_values * part[:, counted] // np.maximum(whole, 1)
        made.append((window, part, amounts))
    return made


def _by_segment(array: Ints, day: DayDelivery, columns: Columns) -> Ints:
    """One cell split into segments; each ad-day rounds at another place, the sum stays exact."""
    shares = np.array(_segment_shares(columns.labels), np.float64)
    ends = np.minimum(shares.cumsum() / shares.sum(), 1.0)
    ends[-1] = 1.0
    keys = np.array([key("segment", ad_id) for ad_id in day.ad_ids], dtype=np.uint64)
    start = unit(mix(keys, day.day.toordinal()))[:, None, None]
    cumulative = np.floor(array * ends[None, :, None] + start).astype(np.int64)
    return _steps(cumulative)


def _segment_shares(labels: tuple[Mapping[str, str], ...]) -> list[int]:
    return [
        reduce(
            lambda total, item: total * SEGMENTS.get(item[0], {}).get(item[1], 500),
            label.items(),
            1,
        )
        for label in labels
    ]


def build_table(days: Iterable[DayDelivery], columns: Columns, scope: Scope) -> Table | None:
    """The table of a date range; None where nothing in scope was delivered."""
    positions: dict[str, int] = {}
    members: list[dict[str, None]] = []
    zeros: dict[int, frozenset[tuple[str, str]]] = {}
    sums = _Sums()
    for day in days:
        rows: list[int] = []
        target: list[int] = []
        for row, group in enumerate(scope.groups(day.ad_ids)):
            if group is None:
                continue
            position = positions.setdefault(group, len(members))
            if position == len(members):
                members.append({})
            ad_id = day.ad_ids[row]
            members[position][ad_id] = None
            if ad_id in day.zeros and columns.labels == ({},):
                zeros[position] = zeros.get(position, frozenset()) | day.zeros[ad_id]
            rows.append(row)
            target.append(position)
        if rows:
            cells = day_cells(day, columns, scope)
            kept = np.array(rows, np.int64)
            sums.add(cells.map([array[kept] for array in cells.arrays()]), target, len(members))
    total = sums.total()
    if total is None:
        return None
    return Table(
        list(positions),
        [list(ids) for ids in members],
        total,
        [zeros.get(position, frozenset()) for position in range(len(members))],
    )


def different_people(summed: Ints, most: Ints, new_tenths: int) -> Ints:
    """Different people in several parts: more than in any one, fewer than the sum over them.

    Rounded up, so that parts of any size together never have fewer than the whole.
    """
    return most - (most - summed) * new_tenths // 10


class _Sums:
    """Cells summed by row object, day after day; people are counted once."""

    def __init__(self) -> None:
        self._cells: Cells | None = None
        self._most_people: Ints | None = None  # of any one day

    def add(self, cells: Cells, target: Sequence[int], size: int) -> None:
        """Add each row of ``cells`` to the object that ``target`` names, of ``size`` known."""
        if self._cells is None or self._most_people is None:
            if list(target) == list(range(size)):  # one ad each: nothing to sum
                self._cells, self._most_people = cells, cells.people
                return
            nothing = [np.zeros((0, *array.shape[1:]), np.int64) for array in cells.arrays()]
            self._cells, self._most_people = cells.map(nothing), nothing[3]
        known = [_grown(array, size) for array in self._cells.arrays()]
        summed, most = np.zeros_like(known[3]), np.zeros_like(known[3])
        np.add.at(summed, target, cells.people)
        np.maximum.at(most, target, cells.people)
        of_day = different_people(summed, most, _NEW_BY_AD)
        people = known[3] + of_day
        for array, more in zip(known, cells.arrays(), strict=True):
            np.add.at(array, target, more)
        known[3] = people
        self._cells = self._cells.map(known)
        self._most_people = np.maximum(_grown(self._most_people, size), of_day)

    def total(self) -> Cells | None:
        """All days together; None where nothing was added."""
        if self._cells is None or self._most_people is None:
            return None
        arrays = self._cells.arrays()
        arrays[3] = different_people(arrays[3], self._most_people, _NEW_BY_DAY)
        return self._cells.map(arrays)


def _grown(array: Ints, size: int) -> Ints:
    """A copy with ``size`` rows, new ones zero."""
    grown = np.zeros((size, *array.shape[1:]), np.int64)
    grown[: len(array)] = array
    return grown

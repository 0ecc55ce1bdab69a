"""Delivery of a generated account: what every ad did in every local hour, as integers.

A day is computed for all its ads at once and needs no other day. The order of the columns below is
part of what the seed means: a new fact goes to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from meta_graph_simulator.accounts.generator_entities import attribution_setting
from meta_graph_simulator.accounts.generator_markets import (
    DAY_FACTS,
    DAY_TYPES_OF,
    HOUR_FACTS,
    HOUR_TYPES_OF,
    VALUE_FACTS,
    Market,
)
from meta_graph_simulator.accounts.generator_plan import DEMAND_BY_MONTH, AdPlan
from meta_graph_simulator.accounts.hashing import U64, Floats, counts, key, mix, unit
from meta_graph_simulator.accounts.local_time import (
    DAY_PARTS,
    hour_minutes,
    local_date,
    reported_share,
)
from meta_graph_simulator.accounts.restatement import RestatementModel, restatement_hour
from meta_graph_simulator.accounts.source import (
    CLICKS,
    HOURS_PER_DAY,
    IMPRESSIONS,
    LINK_CLICKS,
    METRICS,
    SPEND,
    ActionTypes,
    DayDelivery,
    Ints,
    empty_day,
)

_PARTS = np.array(DAY_PARTS, dtype=np.float64)
_WEEKDAYS = (1.0, 0.97, 0.98, 1.0, 1.04, 1.12, 1.16)
_TREND_DAYS = 21
_TAIL_DAYS = 7  # conversions after an ad ended
_CAP = 1.75  # Meta may spend up to 75 % over a daily budget on one day
# Hash counters: one block of 64 per purpose, so that no two purposes share a number.
_GAP, _PAUSE, _NOISE, _TREND, _QUIET, _PRICE, _HOURS = (1000 + 64 * block for block in range(7))
_FACT, _DAY_FACT, _BASKET, _REACH = 4000, 8000, 9000, 9064


def fact_matrix(
    facts: Sequence[str], types_of: Mapping[str, tuple[str, ...]], types: Sequence[str]
) -> Ints:
    """Facts x action types: 1 where the fact counts towards the type."""
    matrix = np.zeros((len(facts), len(types)), np.int64)
    for row, fact in enumerate(facts):
        for column, name in enumerate(types):
            stem = "offsite_conversion.custom."
            if name in types_of[fact] or (
                name.startswith(stem) and any(n.startswith(stem) for n in types_of[fact])
            ):
                matrix[row, column] = 1
    return matrix


class DeliveryModel:
    """The delivery of a fixed list of ads; a day depends on the arguments of ``day`` alone."""

    def __init__(
        self, ads: Sequence[AdPlan], market: Market, types: ActionTypes, seed: int
    ) -> None:
        self._ids = np.array([ad.id for ad in ads], dtype=object)
        self._timezone = market.timezone
        self._types = types
        self._hour_map = fact_matrix(HOUR_FACTS, HOUR_TYPES_OF, types.hourly)
        self._day_map = fact_matrix(DAY_FACTS, DAY_TYPES_OF, types.daily)
        self._value_map = fact_matrix(VALUE_FACTS, DAY_TYPES_OF, types.valued)
        root = key(seed, "delivery")
        self._keys = np.array([root ^ key(ad.id) for ad in ads], dtype=np.uint64)
        self._start = np.array([ad.life.start.toordinal() for ad in ads], dtype=np.int64)
        last = [ad.last_day for ad in ads]
        far = date.max.toordinal()
        self._last = np.array([day.toordinal() if day else far for day in last], dtype=np.int64)
        self._base = np.array([ad.base for ad in ads], dtype=np.float64)
        settings = [attribution_setting(ad.adset.id) for ad in ads]
        self._click_days = np.array([int(name.split("d_")[0]) for name in settings], np.int64)
        self._rates = {
            name: np.array([getattr(ad.adset.campaign.objective, name) for ad in ads], np.float64)
            for name in (
                *("cpm", "ctr", "link", "landing", "video", "social", "page_like"),
                *("lead_form", "message", "order"),
                *DAY_FACTS,
            )
        }
        self._rates["cpm"] *= market.scale
        self._rates["order"] *= market.scale

    def day(self, day: date, now: datetime, *, restating: bool = False) -> DayDelivery:
        """Delivery on a local date as reported at ``now``; ``restating`` restates recent days."""
        ordinal = day.toordinal()
        rows = np.flatnonzero((self._start <= ordinal) & (ordinal <= self._last + _TAIL_DAYS))
        if day > local_date(now, self._timezone) or not rows.size:
            return empty_day(day, self._types)
        keys = mix(self._keys[rows], ordinal)
        metrics, facts = self._hours(rows, keys, day)
        links = metrics[:, :, LINK_CLICKS].sum(axis=1)
        seen = metrics[:, :, IMPRESSIONS].sum(axis=1)
        day_facts, values = self._conversions(rows, keys, links, ordinal)

        share = reported_share(day, self._timezone, now)
        if share is not None:
            permille = np.array(share, np.int64)
            metrics = metrics * permille[None, :, None] // 1000
            facts = facts * permille[None, :, None] // 1000
            shown = metrics[:, :, IMPRESSIONS] > 0
            metrics *= shown[:, :, None]
            facts *= shown[:, :, None]
            part, whole = metrics[:, :, IMPRESSIONS].sum(axis=1), np.maximum(seen, 1)
            day_facts, values = _scaled(day_facts, values, part[:, None], whole[:, None])
        hour = restatement_hour(day, self._timezone, now) if restating else None
        if hour is not None:
            restatement = RestatementModel(
                hour,
                keys,
                self._click_days[rows],
                ordinal <= self._last[rows],
                self._rates["cpm"][rows],
            )
            metrics, facts = restatement.delivery(metrics, facts, day, self._timezone, share)
            day_facts, values = restatement.conversions(day_facts, values)
        return self._assembled(day, rows, keys, metrics, facts, day_facts, values)

    def _hours(self, rows: NDArray[np.int64], keys: U64, day: date) -> tuple[Ints, Ints]:
        """Metrics and on-Meta facts by hour, as they will be when the day is over."""
        ordinal = day.toordinal()
        budget = (
            self._base[rows]
            * self._level(rows, ordinal, day)
            * (0.75 + 0.5 * unit(mix(keys, _NOISE)))
        )
        budget = np.minimum(budget, self._base[rows] * _CAP) * self._running(rows, keys, ordinal)

        hours = np.arange(HOURS_PER_DAY, dtype=np.uint64)
        length = np.array(hour_minutes(day, self._timezone), np.float64) / 60
        weights = _PARTS * length / _PARTS.sum()
        uneven = 0.55 + 0.9 * unit(mix(keys[:, None], np.uint64(_HOURS) + hours))
        # Small ads are not shown at all in some hours of the night.
        quiet = unit(mix(keys[:, None], np.uint64(_QUIET) + hours)) * _PARTS > 1.6
        shares = weights * uneven * quiet

        price = self._rates["cpm"][rows] * (0.8 + 0.4 * unit(mix(keys, _PRICE)))
        impressions = counts(
            budget[:, None] * shares * (1000 / price)[:, None], self._fact(keys, 0)
        )
        hourly_price = price[:, None] * (0.85 + 0.3 * self._spread(keys, 1)) / 1000
        spend = counts(impressions * hourly_price, self._fact(keys, 1))
        clicks = self._some(impressions, self._rates["ctr"][rows], keys, 2)
        links = self._some(clicks, self._rates["link"][rows], keys, 3)
        social = self._some(impressions, self._rates["social"][rows], keys, 4)
        metrics = np.zeros((len(rows), HOURS_PER_DAY, len(METRICS)), np.int64)
        metrics[:, :, SPEND], metrics[:, :, IMPRESSIONS] = spend, impressions
        metrics[:, :, CLICKS], metrics[:, :, LINK_CLICKS] = clicks, links
        facts = {
            "link_click": links,
            "landing_page_view": self._some(links, self._rates["landing"][rows], keys, 5),
            "video_view": self._some(impressions, self._rates["video"][rows], keys, 6),
            "comment": social // 5,
            "post_reaction": social,
            "post": social // 7,
            "like": self._some(impressions, self._rates["page_like"][rows], keys, 7),
            "lead_form": self._some(links, self._rates["lead_form"][rows], keys, 8),
            "message": self._some(links, self._rates["message"][rows], keys, 9),
        }
        return metrics, np.stack([facts[name] for name in HOUR_FACTS], axis=2)

    def _level(self, rows: NDArray[np.int64], ordinal: int, day: date) -> Floats:
        """Demand on a date: weekday, season, and a trend that drifts over some weeks."""
        knot, step = divmod(ordinal, _TREND_DAYS)
        ad_keys = self._keys[rows]
        before, after = (
            unit(mix(ad_keys, _TREND + knot * 8)),
            unit(mix(ad_keys, _TREND + knot * 8 + 8)),
        )
        drift = 0.7 + 0.6 * (before + (after - before) * (step / _TREND_DAYS))
        return np.asarray(drift * (_WEEKDAYS[day.weekday()] * DEMAND_BY_MONTH[day.month - 1]))

    def _running(self, rows: NDArray[np.int64], keys: U64, ordinal: int) -> NDArray[np.bool_]:
        """Which ads deliver: those alive, but for single days and spells without delivery."""
        alive = ordinal <= self._last[rows]
        day_off = unit(mix(keys, _GAP)) < 0.02
        spell = unit(mix(self._keys[rows], _PAUSE + ordinal // 5 * 64)) < 0.03
        return alive & ~day_off & ~spell

    def _conversions(
        self, rows: NDArray[np.int64], keys: U64, links: Ints, ordinal: int
    ) -> tuple[Ints, Ints]:
        """Off-Meta facts and the values of VALUE_FACTS; a few more come after an ad has ended."""
        since = ordinal - self._last[rows]
        usual = self._base[rows] / self._rates["cpm"][rows] * 1000
        usual *= self._rates["ctr"][rows] * self._rates["link"][rows]
        late = np.where(since > 0, usual * 0.12 / np.maximum(since, 1), 0.0)
        facts = np.zeros((len(rows), len(DAY_FACTS)), np.int64)
        for column, name in enumerate(DAY_FACTS):
            mood = 0.6 + 0.8 * unit(mix(keys, _DAY_FACT + 2 * column))
            mean = (links + late) * self._rates[name][rows] * mood
            facts[:, column] = counts(mean, mix(keys, _DAY_FACT + 2 * column + 1))
        values = np.zeros((len(rows), len(VALUE_FACTS)), np.int64)
        for column, name in enumerate(VALUE_FACTS):
            basket = self._rates["order"][rows] * (0.7 + 0.6 * unit(mix(keys, _BASKET + column)))
            values[:, column] = np.floor(facts[:, DAY_FACTS.index(name)] * basket).astype(np.int64)
        return facts, values

    def _assembled(
        self,
        day: date,
        rows: NDArray[np.int64],
        keys: U64,
        metrics: Ints,
        facts: Ints,
        day_facts: Ints,
        values: Ints,
    ) -> DayDelivery:
        impressions = metrics[:, :, IMPRESSIONS].sum(axis=1)
        often = 1.05 + 0.6 * unit(mix(keys, _REACH))
        reach = np.minimum(np.ceil(impressions / often).astype(np.int64), impressions)
        active = (impressions > 0) | day_facts.any(axis=1)
        return DayDelivery(
            day,
            tuple(self._ids[rows][active].tolist()),
            self._types,
            metrics[active],
            (facts @ self._hour_map)[active],
            (day_facts @ self._day_map)[active],
            (values @ self._value_map)[active],
            reach[active],
        )

    def _some(self, of: Ints, rate: Floats, keys: U64, column: int) -> Ints:
        """About ``rate`` of each of ``of``, never more than there are."""
        mean = of * rate[:, None] * (0.5 + self._spread(keys, column))
        return np.minimum(counts(mean, self._fact(keys, column)), of)

    @staticmethod
    def _fact(keys: U64, column: int) -> U64:
        hours = np.arange(HOURS_PER_DAY, dtype=np.uint64)
        return mix(keys[:, None], np.uint64(_FACT + 64 * column) + hours)

    @staticmethod
    def _spread(keys: U64, column: int) -> Floats:
        hours = np.arange(HOURS_PER_DAY, dtype=np.uint64)
        return unit(mix(keys[:, None], np.uint64(_FACT + 64 * column + 32) + hours))


def _scaled(facts: Ints, values: Ints, part: Ints, whole: Ints) -> tuple[Ints, Ints]:
    """Facts cut to part / whole (rounded down), values in proportion to the facts that remain."""
    fewer = facts * part // whole
    columns = [DAY_FACTS.index(name) for name in VALUE_FACTS]
    before = np.maximum(facts[:, columns], 1)
    return fewer, values * fewer[:, columns] // before

"""Restatement: what is reported of a day at an instant, of what is final after 28 days.

Conversions come late, as their attribution windows and Meta's own processing let them; a few are
taken back as duplicates. Delivery is corrected in the first days: invalid traffic is taken out,
missing delivery comes in, and now and then an hour's row vanishes. All of it is done to the facts
of an ad, by hashes of its place, so that at any instant every level and grain still agrees, and
the same instant always tells the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from meta_graph_simulator.accounts.generator_markets import DAY_FACTS, VALUE_FACTS
from meta_graph_simulator.accounts.hashing import U64, Floats, mix, unit
from meta_graph_simulator.accounts.local_time import hour_minutes, local_date, midnight
from meta_graph_simulator.accounts.source import HOURS_PER_DAY, IMPRESSIONS, SPEND, Ints

SETTLED_DAYS = 28

# Permille of a day's conversions that are known so many hours after the day's end. The clicks of a
# day convert for seven days, or for one; modelled and offline conversions come until the end.
_END = (SETTLED_DAYS - 1) * 24
_WEEK_OF_CLICKS = ((0, 640), (24, 780), (72, 880), (168, 955), (336, 985), (_END, 1000))
_DAY_OF_CLICKS = ((0, 800), (24, 960), (72, 985), (168, 995), (_END, 1000))
# What happens on the landing page itself comes with the click: less of it is late.
_AT_ONCE = frozenset({"view", "cart", "install"})
_LATE_AT_ONCE = 300  # permille of what else would be late

_RETRACTED = 0.02  # of ad-days: a conversion that is counted twice for a while
_CORRECTED = 0.1  # of ad-days: delivery that is corrected
_ROW_VANISHES = 0.012  # of ad-days: an hour that was no delivery after all
_TAKEN_OUT = 0.7  # of the corrections; the others add
# Hash counters, in a block of their own.
_CHANCE, _DUPLICATE, _DUPLICATE_UNTIL = 9200, 9201, 9202
_CORRECTION, _CORRECTION_SHARE, _CORRECTION_UNTIL, _CORRECTION_SIGN = 9204, 9205, 9206, 9207
_ROW, _ROW_HOUR, _ROW_UNTIL, _ROW_SHOWN, _ROUNDING = 9208, 9209, 9210, 9211, 9264


def restatement_hour(day: date, timezone: str, now: datetime) -> int | None:
    """Whole hours since the local date ended, 0 before that; None once its numbers are final.

    Within an hour nothing changes, so that the pulls of one moment agree.
    """
    if (local_date(now, timezone) - day).days >= SETTLED_DAYS:
        return None
    ended = midnight(day + timedelta(days=1), timezone)
    return max(0, int((now - ended).total_seconds()) // 3600)


def known_permille(hour: int, *, click_days: int) -> int:
    """Of a day's conversions, so many hours after its end; ``click_days`` 1 or 7."""
    points = _DAY_OF_CLICKS if click_days == 1 else _WEEK_OF_CLICKS
    for (start, low), (end, high) in pairwise(points):
        if hour < end:
            return low + (high - low) * (hour - start) // (end - start)
    return 1000


@dataclass(frozen=True)
class RestatementModel:
    """What is reported of some ads' day, ``hour`` whole hours after it ended.

    ``keys`` are the ads' hashes of that day; ``click_days`` their click windows; ``alive`` says
    which could have delivered; ``price`` is for a thousand impressions, in minor units.
    """

    hour: int
    keys: U64
    click_days: Ints
    alive: NDArray[np.bool_]
    price: Floats

    def conversions(self, facts: Ints, values: Ints) -> tuple[Ints, Ints]:
        """The facts known so far, values in proportion."""
        week = known_permille(self.hour, click_days=7)
        one = known_permille(self.hour, click_days=1)
        known = np.where(self.click_days == 1, one, week)[:, None]
        part = np.array([_LATE_AT_ONCE if name in _AT_ONCE else 1000 for name in DAY_FACTS])
        permille = 1000 - (1000 - known) * part[None, :] // 1000
        # The same draw for every fact: of two overlapping ones the larger stays the larger.
        chance = np.floor(1000 * unit(mix(self.keys, _CHANCE))).astype(np.int64)[:, None]
        found = (facts * permille + chance) // 1000
        twice = (unit(mix(self.keys, _DUPLICATE)) < _RETRACTED) & self._before(
            _DUPLICATE_UNTIL, 12, 96
        )
        found += twice[:, None] & (found > 0)
        columns = [DAY_FACTS.index(name) for name in VALUE_FACTS]
        return found, values * found[:, columns] // np.maximum(facts[:, columns], 1)

    def delivery(
        self, metrics: Ints, facts: Ints, day: date, timezone: str, share: tuple[int, ...] | None
    ) -> tuple[Ints, Ints]:
        """Metrics and on-Meta facts by hour before their corrections.

        ``share`` tells which hours of a day that is not over are reported, as ``reported_share``.
        """
        wrong = unit(mix(self.keys, _CORRECTION)) < _CORRECTED
        wrong &= self._before(_CORRECTION_UNTIL, 6, 72)
        sign = np.where(unit(mix(self.keys, _CORRECTION_SIGN)) < _TAKEN_OUT, 1, -1)
        size = 5 + np.floor(31 * unit(mix(self.keys, _CORRECTION_SHARE))).astype(np.int64)
        permille = np.where(wrong, size, 0)[:, None, None]
        hours = np.arange(HOURS_PER_DAY, dtype=np.uint64)
        # One draw an hour for all measures: clicks stay below impressions.
        draws = unit(mix(self.keys[:, None], np.uint64(_ROUNDING) + hours))
        chance = np.floor(1000 * draws).astype(np.int64)[:, :, None]
        made = []
        for array in (metrics, facts):
            amount = (array * permille + chance) // 1000 * (permille > 0)
            made.append(array + sign[:, None, None] * amount)
        metrics, facts = made
        shown = metrics[:, :, IMPRESSIONS] > 0
        metrics, facts = metrics * shown[:, :, None], facts * shown[:, :, None]
        return self._with_rows_that_vanish(metrics, day, timezone, share), facts

    def _with_rows_that_vanish(
        self, metrics: Ints, day: date, timezone: str, share: tuple[int, ...] | None
    ) -> Ints:
        minutes = np.array(hour_minutes(day, timezone))
        reported = (minutes > 0) & (np.array(share or (1000,) * HOURS_PER_DAY) >= 1000)
        first = np.floor(HOURS_PER_DAY * unit(mix(self.keys, _ROW_HOUR))).astype(np.int64)
        turn = (np.arange(HOURS_PER_DAY) - first[:, None]) % HOURS_PER_DAY
        empty = reported & (metrics[:, :, IMPRESSIONS] == 0)
        label = np.where(empty, turn, HOURS_PER_DAY).argmin(axis=1)
        rows = np.arange(len(label))
        there = unit(mix(self.keys, _ROW)) < _ROW_VANISHES
        there &= self._before(_ROW_UNTIL, 2, 60) & self.alive & empty[rows, label]
        impressions = 1 + np.floor(6 * unit(mix(self.keys, _ROW_SHOWN))).astype(np.int64)
        spend = np.ceil(impressions * self.price / 1000).astype(np.int64)
        metrics = metrics.copy()
        metrics[rows[there], label[there], IMPRESSIONS] = impressions[there]
        metrics[rows[there], label[there], SPEND] = spend[there]
        return metrics

    def _before(self, counter: int, first: int, last: int) -> NDArray[np.bool_]:
        """For each ad whether its moment, an hour from first to last, has not come yet."""
        moment = first + np.floor((last - first + 1) * unit(mix(self.keys, counter)))
        return np.asarray(self.hour < moment)

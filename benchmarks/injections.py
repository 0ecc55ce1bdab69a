"""Generated accounts with known faults in them, by the day and by the hour, and quiet oddities.

Faults must be reported. Oddities must not: a campaign that drifts, one that lives at weekends, a
calm day. The days on which clocks change are in the period by themselves.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_graph_simulator.accounts.source import (
    CLICKS,
    HOURS_PER_DAY,
    IMPRESSIONS,
    LINK_CLICKS,
    SPEND,
    DayDelivery,
)

INJECTED_DAYS = 28
DAY_FAULTS = (
    "spend spike",
    "spend drop",
    "delivery stopped",
    "CTR collapse",
    "CPM jump",
    "conversions stopped",
)
HOUR_FAULTS: Mapping[str, int] = {
    "spend spike, 2 h": 2,
    "delivery stopped, 5 h": 5,
    "CTR collapse, 4 h": 4,
    "CPM jump, 3 h": 3,
}
"""Kinds of fault that last for some hours, and for how many."""
OVERSPEND = "beyond budget"
CALM = 0.6
"""What is left of a calm day's delivery, as on a holiday."""
_ALL_DAY = range(HOURS_PER_DAY)


@dataclass(frozen=True)
class Injection:
    """A fault on one day, of one campaign or (``campaign_id`` None) of the whole account.

    ``hours`` are local hour labels; all of them for a fault of the day. ``factor`` is how many
    times as much, or as little.
    """

    account_id: str
    campaign_id: str | None
    day: date
    kind: str
    factor: float
    hours: range = _ALL_DAY

    @property
    def is_hourly(self) -> bool:
        """Whether only some hours of the day are concerned."""
        return self.kind in HOUR_FAULTS

    def applied(self, delivery: DayDelivery, concerned: NDArray[np.bool_]) -> DayDelivery:
        """The day with the change made to the ads that are concerned."""
        arrays = [array.copy() for array in delivery.arrays()]
        if self.is_hourly:
            self._change_hours(arrays, concerned)
        else:
            if self.kind == "delivery stopped":
                return delivery.keep(~concerned)
            self._change_day(arrays, concerned)
        return DayDelivery(delivery.day, delivery.ad_ids, delivery.types, *arrays)

    def _change_hours(self, arrays: list[Any], concerned: NDArray[np.bool_]) -> None:
        hours, hour_actions = arrays[:2]
        place = np.ix_(np.flatnonzero(concerned), np.array(self.hours))
        if self.kind.startswith("spend spike"):
            hours[place] *= int(self.factor)
            hour_actions[place] *= int(self.factor)
        elif self.kind.startswith("delivery stopped"):
            hours[place] = 0
            hour_actions[place] = 0
        else:
            columns = [CLICKS, LINK_CLICKS]
            if self.kind.startswith("CPM jump"):
                columns.append(IMPRESSIONS)
            for column in columns:
                hours[(*place, column)] //= int(self.factor)

    def _change_day(self, arrays: list[Any], concerned: NDArray[np.bool_]) -> None:
        hours, _, day_actions, day_values, reach = arrays
        if self.kind == OVERSPEND:
            hours[concerned] = (hours[concerned] * self.factor).astype(np.int64)
        elif self.kind == "spend spike":
            for array in arrays:
                array[concerned] *= int(self.factor)
        elif self.kind == "spend drop":
            for array in arrays:
                array[concerned] //= int(self.factor)
        elif self.kind == "conversions stopped":
            day_actions[concerned] = 0
            day_values[concerned] = 0
        else:
            columns = [CLICKS, LINK_CLICKS]
            if self.kind == "CPM jump":
                columns.append(IMPRESSIONS)
                reach[concerned] //= int(self.factor)
            for column in columns:
                hours[concerned, :, column] //= int(self.factor)


@dataclass
class InjectedAccount:
    """A generated account (``AccountSource``) with faults and oddities up to ``last``."""

    base: Any
    last: date
    injections: dict[date, Injection] = field(default_factory=dict)
    oddities: dict[str, str] = field(default_factory=dict)
    calm_day: date | None = None
    _days: dict[date, DayDelivery] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    @cached_property
    def campaign_of(self) -> dict[str, str]:
        """Campaign of every ad."""
        return {str(ad["id"]): str(ad["campaign_id"]) for ad in self.base.objects("ad")}

    @cached_property
    def daily_budgets(self) -> dict[str, int]:
        """Daily budget, minor units, of the campaigns that have one."""
        return {
            str(campaign["id"]): int(campaign["daily_budget"])
            for campaign in self.base.objects("campaign")
            if "daily_budget" in campaign
        }

    def concerned(self, delivery: DayDelivery, campaign_id: str | None) -> NDArray[np.bool_]:
        """Which rows of a day belong to the campaign, or to the account."""
        found = [campaign_id in (None, self.campaign_of.get(ad)) for ad in delivery.ad_ids]
        return np.array(found, dtype=np.bool_)

    def usual(self, day: date) -> DayDelivery:
        """The day's delivery with its oddities and without its fault."""
        if day not in self._days:
            self._days[day] = self._odd(self.base.delivery(day))
        return self._days[day]

    def _odd(self, delivery: DayDelivery) -> DayDelivery:
        shares = np.ones(len(delivery.ad_ids))
        for campaign_id, oddity in self.oddities.items():
            rows = self.concerned(delivery, campaign_id)
            if oddity == "weekends":
                shares[rows] *= 1.0 if delivery.day.weekday() >= 5 else 1 / 3
            else:  # grows by 1.5 % a day, fourfold in three months
                shares[rows] *= 1.015 ** -(self.last - delivery.day).days
        if delivery.day == self.calm_day:
            shares *= CALM
        if (shares == 1).all():
            return delivery
        arrays = [
            np.rint(array * shares.reshape(-1, *[1] * (array.ndim - 1))).astype(np.int64)
            for array in delivery.arrays()
        ]
        return DayDelivery(delivery.day, delivery.ad_ids, delivery.types, *arrays)

    def delivery(self, day: date) -> DayDelivery:
        """The day's delivery with its fault."""
        delivery = self.usual(day)
        injection = self.injections.get(day)
        if injection is None:
            return delivery
        return injection.applied(delivery, self.concerned(delivery, injection.campaign_id))

    def amounts(
        self, campaign_id: str | None, day: date, hours: Sequence[int] = _ALL_DAY
    ) -> tuple[int, int, int, int]:
        """Impressions, clicks, spend and the day's purchases as usual, without faults."""
        delivery = self.usual(day)
        rows = self.concerned(delivery, campaign_id)
        bought = [i for i, name in enumerate(delivery.types.daily) if name == "omni_purchase"]
        shown, clicked, spent = (
            int(delivery.hours[rows][:, list(hours), metric].sum())
            for metric in (IMPRESSIONS, CLICKS, SPEND)
        )
        return shown, clicked, spent, int(delivery.day_actions[rows][:, bought].sum())

    def is_visible(
        self, kind: str, campaign_id: str | None, day: date, hours: Sequence[int] = _ALL_DAY
    ) -> bool:
        """Whether there is something on the day, and before it, that the change can be seen in."""
        earlier = [day - timedelta(days=7 * weeks) for weeks in range(1, 8)]
        parts: Sequence[Sequence[int]] = [hours] if kind in DAY_FAULTS else [[h] for h in hours]
        for part in parts:
            seen = [self.amounts(campaign_id, each, part) for each in earlier]
            now = self.amounts(campaign_id, day, part)
            if kind == "conversions stopped" and median(amount[3] for amount in seen) < 10:
                return False
            clicked = min(now[1], median(amount[1] for amount in seen))
            if kind in HOUR_FAULTS and kind.startswith("CTR") and clicked < 30:
                return False
            least = 2000 if kind in DAY_FAULTS else 500
            if now[0] == 0 or sum(amount[0] > least for amount in seen) < 5:
                return False
        return True

    def inject(self, account_id: str, draws: random.Random) -> None:
        """A fault of the day on every other day of the last four weeks, one of some hours between.

        Two campaigns are odd; one day is calm and has no fault.
        """
        campaigns = sorted(set(self.campaign_of.values()))
        steady = [c for c in campaigns if self.amounts(c, self.last)[0] > 2000]
        for oddity, campaign_id in zip(("drift", "weekends"), steady[-2:], strict=False):
            self.oddities[campaign_id] = oddity
        self._days.clear()
        self.calm_day = self.last - timedelta(days=12)
        by_turn: dict[bool, int] = defaultdict(int)
        hour_kinds = [*HOUR_FAULTS, OVERSPEND]
        shift = {True: draws.randrange(len(hour_kinds)), False: draws.randrange(2)}
        for back in range(INJECTED_DAYS - 1, -1, -1):
            day = self.last - timedelta(days=back)
            if day == self.calm_day:
                continue
            by_hour = back % 2 == 0
            kinds = hour_kinds if by_hour else DAY_FAULTS
            turn = by_turn[by_hour] + shift[by_hour]
            by_turn[by_hour] += 1
            places: list[str | None] = [None, *draws.sample(campaigns, len(campaigns))]
            draws.shuffle(places)
            self._inject(account_id, kinds[turn % len(kinds)], day, places, draws)

    def _inject(
        self,
        account_id: str,
        kind: str,
        day: date,
        places: Sequence[str | None],
        draws: random.Random,
    ) -> None:
        for place in places:
            if place in self.oddities:
                continue
            factor: float = draws.choice((3, 4, 5))
            hours = _ALL_DAY
            if kind in HOUR_FAULTS:
                start = draws.randrange(8, 19)
                hours = range(start, start + HOUR_FAULTS[kind])
            elif kind == OVERSPEND:
                spent = self.amounts(place, day)[2]
                budget = self.daily_budgets.get(place or "")
                if budget is None or not spent:
                    continue
                factor = max(1.01, draws.uniform(1.9, 2.5) * budget / spent)
            if kind == OVERSPEND or self.is_visible(kind, place, day, hours):
                self.injections[day] = Injection(account_id, place, day, kind, factor, hours)
                return

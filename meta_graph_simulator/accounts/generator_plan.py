"""Who exists when in a generated account: campaigns, ad sets and ads with their lifetimes.

An account is made of slots that never change. Most slots hold one evergreen object; the others
hold a series of generations, each replaced after some weeks, so that at any moment some objects
ended lately and are paused, archived or deleted. Lifetimes are absolute dates: what was true of a
past day stays true however far the clock moves on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, TypeAlias

from meta_graph_simulator.accounts.generator_markets import Market, Objective, objective_of
from meta_graph_simulator.accounts.hashing import Draws, key
from meta_graph_simulator.accounts.local_time import midnight

Fate: TypeAlias = Literal["PAUSED", "ARCHIVED", "DELETED"]
_FATES: tuple[Fate, ...] = ("DELETED", "PAUSED", "ARCHIVED")
DEMAND_BY_MONTH = (0.9, 0.92, 0.96, 0.98, 1.0, 0.97, 0.93, 0.94, 1.0, 1.05, 1.28, 1.2)
"""January first: deliveries follow it, and the budgets that allow them."""
_KIND_DIGIT = {"campaign": 1, "adset": 2, "ad": 3, "creative": 4}
_HALF = 10**5  # ids have ten scrambled digits in two halves
# Two ad slots test creatives for nine days each and then delete or archive them, so that at any
# time ads that are gone have delivered within the last two weeks.
_TESTING_SLOTS: dict[int, Fate] = {1: "DELETED", 2: "ARCHIVED"}
_TESTING_DAYS = 9
_MAX_SLOTS = 10**5
_MAX_GENERATIONS = 10**4


def object_id(kind: str, slot: int, generation: int, account_index: int) -> str:
    """An 18-digit id (beyond 2**53), unique over the fleet."""
    left, right = divmod(_KIND_DIGIT[kind] * 10**9 + slot * 10**4 + generation, _HALF)
    for turn in range(4):  # a Feistel network permutes the numbers: no two ids collide
        left, right = right, (left + key("id", right, turn)) % _HALF
    return f"1202{left:05d}{right:05d}{(account_index + 1) * 17 % 10**4:04d}"


@dataclass(frozen=True, slots=True)
class Life:
    """When an object runs (local dates, inclusive; ``end`` None is open) and what became of it."""

    start: date
    end: date | None
    generation: int
    fate: Fate
    created_at: datetime
    ended_at: datetime | None
    fate_at: datetime | None

    def status(self, now: datetime) -> str:
        """The user's choice at an instant: ACTIVE, PAUSED, ARCHIVED or DELETED."""
        if self.ended_at is None or now < self.ended_at:
            return "ACTIVE"
        if self.fate_at is None or now < self.fate_at:
            return "PAUSED"
        return self.fate

    def updated_at(self, now: datetime) -> datetime:
        """The last change before ``now``."""
        past = [moment for moment in (self.ended_at, self.fate_at) if moment and moment <= now]
        return max([self.created_at, *past])

    def moments(self) -> Iterator[datetime]:
        """Every instant at which the object changes."""
        yield self.created_at
        yield self.created_at + REVIEW_TIME
        for moment in (self.ended_at, self.fate_at):
            if moment:
                yield moment


REVIEW_TIME = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """One campaign."""

    id: str
    slot: int
    life: Life
    objective: Objective
    budgeted: bool  # the budget sits here, not on the ad sets
    rotating: bool


@dataclass(frozen=True, slots=True)
class AdSetPlan:
    """One ad set."""

    id: str
    slot: int
    life: Life
    campaign: CampaignPlan
    rotating: bool


@dataclass(frozen=True, slots=True)
class AdPlan:
    """One ad with its creative. ``base`` is its usual daily spend in minor units."""

    id: str
    creative_id: str
    slot: int
    life: Life
    adset: AdSetPlan
    base: int
    disapproved: bool
    with_issues: bool

    @property
    def last_day(self) -> date | None:
        """The last date with delivery: with its parents; a disapproved ad ran for a few days."""
        lives = (self.life, self.adset.life, self.adset.campaign.life)
        ends = [life.end for life in lives if life.end]
        if self.disapproved:
            ends.append(self.life.start + timedelta(days=4))
        return min(ends, default=None)


@dataclass(frozen=True)
class AccountPlan:
    """Everything that exists in an account up to ``through``."""

    campaigns: tuple[CampaignPlan, ...]
    adsets: tuple[AdSetPlan, ...]
    ads: tuple[AdPlan, ...]
    through: date


class Planner:
    """Lays out one account. Slots: ``ads`` ads in about a third as many ad sets."""

    def __init__(
        self, market: Market, account_index: int, ads: int, seed: int, from_date: date
    ) -> None:
        if not 0 < ads < _MAX_SLOTS:
            raise ValueError(f"ads per account must be from 1 to {_MAX_SLOTS - 1}: {ads}")
        self.market = market
        self.account_index = account_index
        self.from_date = from_date
        self.ad_slots = ads
        self.campaign_slots = max(1, min(round(ads / 5), 60))
        self.adset_slots = max(self.campaign_slots, -(-ads // 3))
        self._seed = key(seed, "account", account_index)

    def plan(self, through: date) -> AccountPlan:
        """All objects that start on or before ``through``."""
        campaigns = [
            c for slot in range(self.campaign_slots) for c in self._campaigns(slot, through)
        ]
        by_slot: dict[int, list[CampaignPlan]] = {}
        for campaign in campaigns:
            by_slot.setdefault(campaign.slot, []).append(campaign)
        adsets = [
            adset
            for slot in range(self.adset_slots)
            for campaign in by_slot.get(slot % self.campaign_slots, ())
            for adset in self._adsets(slot, campaign, through)
        ]
        adsets_by_slot: dict[int, list[AdSetPlan]] = {}
        for adset in adsets:
            adsets_by_slot.setdefault(adset.slot, []).append(adset)
        ads = [
            ad
            for slot in range(self.ad_slots)
            for adset in adsets_by_slot.get(slot % self.adset_slots, ())
            for ad in self._ads(slot, adset, through)
        ]
        return AccountPlan(tuple(campaigns), tuple(adsets), tuple(ads), through)

    def base_spend(self, slot: int) -> int:
        """Usual daily spend of an ad slot in minor units: many small ads, a few big ones."""
        draws = Draws(self._seed, "spend", slot)
        size = draws.below(1000)
        cents = 20 + size if size < 100 else 700 + 9 * size + size * size * size // 60_000
        return max(1, round(cents * self.market.scale))

    def _campaigns(self, slot: int, through: date) -> Iterator[CampaignPlan]:
        rotating = slot % 5 == 4
        objective = objective_of(slot, self.account_index)
        for life in self._lives("campaign", slot, None, rotating, through):
            identity = object_id("campaign", slot, life.generation, self.account_index)
            yield CampaignPlan(identity, slot, life, objective, slot % 2 == 0, rotating)

    def _adsets(self, slot: int, campaign: CampaignPlan, through: date) -> Iterator[AdSetPlan]:
        rotating = not campaign.rotating and slot % 6 == 3
        for life in self._lives("adset", slot, campaign.life, rotating, through):
            identity = object_id("adset", slot, life.generation, self.account_index)
            yield AdSetPlan(identity, slot, life, campaign, rotating)

    def _ads(self, slot: int, adset: AdSetPlan, through: date) -> Iterator[AdPlan]:
        inherits = adset.rotating or adset.campaign.rotating
        flawed = slot % 23 == 11 or slot % 17 == 8
        rotating = not inherits and not flawed and (slot % 4 == 1 or slot in _TESTING_SLOTS)
        for life in self._lives("ad", slot, adset.life, rotating, through):
            yield AdPlan(
                object_id("ad", slot, life.generation, self.account_index),
                object_id("creative", slot, life.generation, self.account_index),
                slot,
                life,
                adset,
                self.base_spend(slot),
                disapproved=slot % 23 == 11,
                with_issues=slot % 17 == 8,
            )

    def _lives(
        self, kind: str, slot: int, parent: Life | None, rotating: bool, through: date
    ) -> Iterator[Life]:
        draws = Draws(self._seed, "life", kind, slot)
        first = parent.start if parent else self.from_date
        if not rotating:
            generation = parent.generation if parent else 0
            fate: Fate = parent.fate if parent else "PAUSED"
            yield self._life(
                kind, slot, generation, start=first, end=None, fate=fate, parent=parent
            )
            return
        testing = _TESTING_SLOTS.get(slot) if kind == "ad" else None
        length = _TESTING_DAYS if testing else draws.between(28, 84)
        phase = draws.below(length)
        generation = 0
        start = first
        while start <= through and generation < _MAX_GENERATIONS:
            following = first + timedelta(days=(generation + 1) * length - phase)
            pause = 0 if testing else Draws(self._seed, "pause", kind, slot, generation).below(4)
            end = max(start, following - timedelta(days=1 + pause))
            fate = testing or _FATES[(slot + generation) % len(_FATES)]
            yield self._life(kind, slot, generation, start=start, end=end, fate=fate, parent=parent)
            generation += 1
            start = following

    def _life(
        self,
        kind: str,
        slot: int,
        generation: int,
        *,
        start: date,
        end: date | None,
        fate: Fate,
        parent: Life | None,
    ) -> Life:
        draws = Draws(self._seed, "moments", kind, slot, generation)
        zone = self.market.timezone
        office_hours = timedelta(hours=8, seconds=draws.below(8 * 3600))
        created = midnight(start - timedelta(days=1), zone) + office_hours
        if parent:  # children are made within the quarter of an hour after their parent
            earliest = parent.created_at + timedelta(seconds=draws.between(1, 900))
            created = earliest if start == parent.start else max(created, earliest)
        if end is None:
            return Life(start, end, generation, fate, created, None, None)
        ended = midnight(end + timedelta(days=1), zone) + timedelta(seconds=draws.below(60))
        later = timedelta(days=draws.below(3), seconds=draws.between(3600, 36_000))
        fate_at = None if fate == "PAUSED" else ended + later
        return Life(start, end, generation, fate, created, ended, fate_at)

"""Deterministic ad accounts: the same configuration gives the same accounts in any process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from meta_graph_simulator.accounts.currencies import offset
from meta_graph_simulator.accounts.generator_delivery import DeliveryModel
from meta_graph_simulator.accounts.generator_entities import Documents, pixel_id
from meta_graph_simulator.accounts.generator_markets import (
    CUSTOM_EVENT,
    MARKETS,
    Market,
    action_types,
)
from meta_graph_simulator.accounts.generator_plan import AccountPlan, Planner
from meta_graph_simulator.accounts.hashing import Draws
from meta_graph_simulator.accounts.local_time import (
    last_refresh,
    local_date,
    meta_datetime,
    midnight,
)
from meta_graph_simulator.accounts.restatement import restatement_hour
from meta_graph_simulator.accounts.source import (
    ActionTypes,
    Clock,
    DayDelivery,
    Document,
    Entities,
    Kind,
    LevelFault,
    utc_now,
)

DEFAULT_FROM_DATE = date(2025, 7, 1)
_PLAN_AHEAD = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Which accounts to generate. The same values always give the same accounts.

    ``ads`` counts the ads that run side by side in one account; ended ones come on top. ``markets``
    sets the currency and IANA timezone of each account; without it the accounts differ in both (EUR
    Berlin, USD New York, JPY Tokyo, ...). ``from_date`` is the first date with delivery. With
    ``restating``, the last 28 days are still restated (see ``restatement``): conversions come late,
    delivery is corrected.
    """

    accounts: int = 3
    ads: int = 40
    seed: int = 1
    from_date: date = DEFAULT_FROM_DATE
    restating: bool = False
    markets: tuple[tuple[str, str], ...] | None = None


class GeneratedAccount:
    """An ``AccountSource`` whose documents and delivery come from hashes of their places."""

    def __init__(
        self,
        config: GeneratorConfig,
        index: int,
        clock: Clock = utc_now,
        *,
        cache_bytes: int = 96 << 20,
    ) -> None:
        self._config = config
        self._index = index
        self._clock = clock
        self._market = _market(config, index)
        draws = Draws(config.seed, "account", index)
        self._account_id = str(draws.between(10**14, 9 * 10**15))
        self._custom_conversion = str(draws.between(10**14, 9 * 10**15))
        self._types = action_types(self._market, self._custom_conversion)
        self._planner = Planner(self._market, index, config.ads, config.seed, config.from_date)
        self._lock = threading.RLock()
        self._plan: AccountPlan | None = None
        self._model: DeliveryModel | None = None
        self._entities: Entities | None = None
        self._entities_span = (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))
        self._days: OrderedDict[tuple[date, datetime | None], DayDelivery] = OrderedDict()
        self._held = 0
        self._cache_bytes = cache_bytes

    @property
    def types(self) -> ActionTypes:
        """The account's action types."""
        return self._types

    @property
    def level_faults(self) -> Sequence[LevelFault]:
        """None: a generated account is sound."""
        return ()

    @cached_property
    def custom_conversions(self) -> Sequence[Document]:
        """One that counts the pixel's custom event, and an archived one of a page's address."""
        source = pixel_id(self._account_id)
        common = {
            "account_id": self._account_id,
            "event_source_id": source,
            "event_source_type": "pixel",
            "pixel": {"id": source},
            "creation_time": meta_datetime(self._begun, self._market.timezone),
            "default_conversion_value": 0,
        }
        return (
            common
            | {
                "id": self._custom_conversion,
                "name": "Quiz finished",
                "custom_event_type": "OTHER",
                "rule": f'{{"and":[{{"event":{{"eq":"{CUSTOM_EVENT}"}}}}]}}',
                "is_archived": False,
            },
            common
            | {
                "id": str(Draws("archived conversion", self._account_id).between(10**14, 10**15)),
                "name": "Newsletter page",
                "custom_event_type": "LEAD",
                "rule": '{"and":[{"url":{"i_contains":"/newsletter/thanks"}}]}',
                "is_archived": True,
            },
        )

    def now(self) -> datetime:
        """The clock's instant, UTC."""
        return self._clock()

    @property
    def account(self) -> Document:
        """The account document at the clock's instant."""
        market, now = self._market, self.now()
        shift = now.astimezone(ZoneInfo(market.timezone)).utcoffset() or timedelta()
        days = max(0, (local_date(now, market.timezone) - self._config.from_date).days)
        return {
            **self._constant,
            "timezone_offset_hours_utc": shift.total_seconds() / 3600,
            "amount_spent": str(self._daily_spend * days),
            "age": round((now - self._begun).total_seconds() / 86_400, 6),
        }

    @cached_property
    def _begun(self) -> datetime:
        start = midnight(self._config.from_date - timedelta(days=90), self._market.timezone)
        return start + timedelta(hours=9, minutes=self._index)

    @cached_property
    def _daily_spend(self) -> int:
        return sum(self._planner.base_spend(slot) for slot in range(self._config.ads))

    @cached_property
    def _constant(self) -> Document:
        market = self._market
        return {
            "id": f"act_{self._account_id}",
            "account_id": self._account_id,
            "name": self._name,
            "currency": market.currency,
            "timezone_id": market.timezone_id,
            "timezone_name": market.timezone,
            "account_status": 1,
            "disable_reason": 0,
            "balance": str(Draws("balance", self._account_id).below(50) * offset(market.currency)),
            "spend_cap": "0",
            "min_daily_budget": max(1, round(100 * market.scale)),
            "business": {
                "id": str(Draws("business", self._account_id).between(10**14, 9 * 10**14)),
                "name": f"{market.name} Group",
            },
            "business_country_code": market.countries[0],
            "created_time": meta_datetime(self._begun, market.timezone),
        }

    def entities(self) -> Entities:
        """All documents at the clock's instant; rebuilt only when one of them changes."""
        now = self.now()
        with self._lock:
            first, until = self._entities_span
            if self._entities is None or not first <= now < until:
                plan, _ = self._planned(local_date(now, self._market.timezone))
                documents = Documents(
                    plan, self._market, self._account_id, self._custom_conversion, now
                )
                self._entities = documents.entities()
                self._entities_span = (now, self._next_change(plan, now))
            return self._entities

    def objects(self, kind: Kind) -> Sequence[Document]:
        """Documents of one kind, incl. archived and deleted ones."""
        return self.entities().documents[kind]

    def delivery(self, day: date) -> DayDelivery:
        """Delivery on a local date, as reported at the last refresh before the clock's instant."""
        now = self.now()
        refreshed = last_refresh(now)
        key = (day, self._as_of(day, refreshed))
        with self._lock:
            if key in self._days:
                self._days.move_to_end(key)
                return self._days[key]
            _, model = self._planned(day)
        made = model.day(day, refreshed, restating=self._config.restating)
        with self._lock:
            if key not in self._days:
                self._days[key] = made
                self._held += made.nbytes
                while self._held > self._cache_bytes and len(self._days) > 1:
                    _, dropped = self._days.popitem(last=False)
                    self._held -= dropped.nbytes
        return made

    @property
    def _name(self) -> str:
        number = self._index // len(MARKETS)
        return (
            f"{self._market.name} {self._market.countries[0]}{f' {number + 1}' if number else ''}"
        )

    def _as_of(self, day: date, now: datetime) -> datetime | None:
        """What a day's numbers depend on besides the day: nothing once it is over and settled."""
        begun = midnight(day, self._market.timezone)
        if begun + timedelta(hours=27) > now:
            return now
        hour = restatement_hour(day, self._market.timezone, now) if self._config.restating else None
        # From the end: no instant of the day itself, which has numbers of its own, is the same.
        ended = midnight(day + timedelta(days=1), self._market.timezone)
        return None if hour is None else ended + timedelta(hours=hour)

    def _planned(self, day: date) -> tuple[AccountPlan, DeliveryModel]:
        """The plan and model up to at least ``day``; later plans extend earlier ones."""
        if self._plan is None or self._model is None or self._plan.through < day:
            self._plan = self._planner.plan(day + _PLAN_AHEAD)
            self._model = DeliveryModel(
                self._plan.ads, self._market, self._types, self._config.seed
            )
        return self._plan, self._model

    def _next_change(self, plan: AccountPlan, now: datetime) -> datetime:
        tomorrow = local_date(now, self._market.timezone) + timedelta(days=1)
        moments = [midnight(tomorrow, self._market.timezone)]
        for group in (plan.campaigns, plan.adsets, plan.ads):
            for item in group:
                moments.extend(moment for moment in item.life.moments() if moment > now)
        return min(moments)


def _market(config: GeneratorConfig, index: int) -> Market:
    market = MARKETS[index % len(MARKETS)]
    if config.markets is None:
        return market
    currency, timezone = config.markets[index % len(config.markets)]
    like = next((known for known in MARKETS if known.currency == currency), market)
    return replace(market, currency=currency, timezone=timezone, scale=like.scale)


def generate(config: GeneratorConfig, clock: Clock = utc_now) -> list[GeneratedAccount]:
    """The fleet's accounts. Nothing is computed before it is asked for."""
    return [GeneratedAccount(config, index, clock) for index in range(config.accounts)]

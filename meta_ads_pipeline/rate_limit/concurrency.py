"""How many calls this process may have in flight, of those that all processes may have together.

Meta counts by app and by ad account, so both are bounded. What the process may have is asked once
a second while calls go out, or when it needs more, not for every call; while others want places,
too, each call asks, so that they are handed over as calls end. What is granted never adds up to
more than the limit; who wants more than a fair share gives back as its calls end. A process holds
its places by its database session, so a killed one holds none.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.rate_limit.store import CallBudgetStore

_APP = ""
_AGAIN_HERE = 0.02
_AGAIN_ELSEWHERE = 0.1
"""Seconds until a look whether a place is free: one of this process, one of another."""
_FEW = 4


@dataclass(frozen=True)
class Wish:
    """Calls under way, calls that could be under way with those that wait, and the limit."""

    used: int
    needed: int
    limit: int


@dataclass(frozen=True)
class Share:
    """How many calls may be in flight. ``is_contended``: other processes want places, too."""

    granted: int
    is_contended: bool


def share_slots(
    session: Connection, app: str, holder: int, wishes: Mapping[str, Wish]
) -> dict[str, Share]:
    """Tell the wishes of one process, by ad account (empty: the whole app); one round trip.

    ``session`` must be the holder's own, in autocommit, and stay open: the places go with it.
    """
    rows = session.execute(
        "select account, slots, is_contended from control.share_call_slots("
        " %s, %s, %s::text[], %s::integer[], %s::integer[], %s::integer[])",
        [
            app,
            holder,
            list(wishes),
            [wish.used for wish in wishes.values()],
            [wish.needed for wish in wishes.values()],
            [wish.limit for wish in wishes.values()],
        ],
    ).fetchall()
    return {row["account"]: Share(row["slots"], row["is_contended"]) for row in rows}


class SharedSlots:
    """The places of one process; thread-safe. ``clock`` gives seconds.

    Raises ``DatabaseError`` when the database is away.
    """

    def __init__(
        self,
        store: CallBudgetStore,
        app: str,
        *,
        per_app: int,
        per_account: int,
        clock: Callable[[], float],
        seconds_between_asks: float = 1.0,
    ) -> None:
        self._store, self._app = store, app
        self._per_app, self._per_account = per_app, per_account
        self._clock, self._seconds_between_asks = clock, seconds_between_asks
        self._holder = 1 + secrets.randbelow(2**31 - 1)
        self._lock = threading.RLock()
        self._used: Counter[str] = Counter()
        self._waiting: dict[int, str] = {}
        self._shares: dict[str, Share] = {}
        self._asked_at: dict[str, float] = {}
        self._denied_at: dict[str, float] = {}

    def take(self, account_id: str) -> float:
        """Take a place; 0: it is taken, else seconds to wait before trying again."""
        with self._lock:
            places = self._places(account_id)
            if all(self._has_room(place) for place in places) and not self._is_due(places):
                return self._taken(places)
            self._waiting[threading.get_ident()] = account_id
            if any(self._used[place] >= self._limit(place) for place in places):
                return _AGAIN_HERE
            now = self._clock()
            if any(now - self._denied_at.get(place, 0.0) < _AGAIN_ELSEWHERE for place in places):
                return _AGAIN_ELSEWHERE
            self._ask(places)
            if all(self._has_room(place) for place in places):
                return self._taken(places)
            return _AGAIN_ELSEWHERE

    def give_back(self, account_id: str) -> None:
        """The call is over, or was not made after all."""
        with self._lock:
            places = self._places(account_id)
            self._used.subtract(places)
            idle = [place for place in places if self._used[place] <= 0 and self._is_held(place)]
            if idle:
                self._ask(idle, over=True)

    def leave(self) -> None:
        """Note that this thread waits for no place any more."""
        with self._lock:
            self._waiting.pop(threading.get_ident(), None)

    def _taken(self, places: list[str]) -> float:
        self._waiting.pop(threading.get_ident(), None)
        self._used.update(places)
        return 0.0

    def _has_room(self, place: str) -> bool:
        share = self._shares.get(place)
        return share is not None and self._used[place] < share.granted

    def _is_due(self, places: list[str]) -> bool:
        """Whether what was granted may have changed: now and then, and always while others wait."""
        now = self._clock()
        return any(
            self._shares[place].is_contended
            or now - self._asked_at[place] >= self._seconds_between_asks
            for place in places
        )

    def _is_held(self, place: str) -> bool:
        """Whether an idle process still keeps a place from others that is worth a round trip.

        A single one of many is not: who makes one call after the other keeps it.
        """
        share = self._shares.get(place)
        if share is None or share.granted == 0:
            return False
        return share.is_contended or share.granted > 1 or self._limit(place) < _FEW

    def _ask(self, places: list[str], *, over: bool = False) -> None:
        waiting = list(self._waiting.values())
        wishes = {}
        for place in places:
            queued = len(waiting) if place == _APP else waiting.count(place)
            needed = 0 if over and not queued else self._used[place] + max(1, queued)
            limit = self._limit(place)
            wishes[place] = Wish(self._used[place], min(needed, limit), limit)
        self._shares.update(
            self._store.run(lambda session: share_slots(session, self._app, self._holder, wishes))
        )
        now = self._clock()
        for place, wish in wishes.items():
            self._asked_at[place] = now
            denied = self._shares[place].granted <= wish.used < wish.needed
            self._denied_at[place] = now if denied else 0.0

    def _limit(self, place: str) -> int:
        return self._per_app if place == _APP else self._per_account

    @staticmethod
    def _places(account_id: str) -> list[str]:
        return [_APP, account_id] if account_id else [_APP]

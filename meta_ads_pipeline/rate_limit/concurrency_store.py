"""Places for calls in flight, shared by all processes: of an app, and of each ad account.

A process says what it uses and could use and hears how many it may have. What is granted never
adds up to more than the limit; who wants more than a fair share gives back as its calls end. A
process holds its places by its database session, so a killed one holds none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meta_ads_pipeline.control.database import Connection


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

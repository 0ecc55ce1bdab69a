"""A recorded ad account played back: real documents and ad-days, split into plausible hours.

The recording knows days only. Every ad-day is spread over its hours by fixed weights and largest
remainders, so the hours sum back to Meta's own numbers exactly. Actions that Meta does not give by
the hour (pixel, Conversions API, app) stay on the day.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from meta_graph_simulator.accounts.currencies import minor_units
from meta_graph_simulator.accounts.hashing import key, mixed
from meta_graph_simulator.accounts.local_time import (
    DAY_PARTS,
    HOURS_PER_DAY,
    hour_minutes,
    local_date,
)
from meta_graph_simulator.accounts.source import (
    IMPRESSIONS,
    METRICS,
    ActionTypes,
    Clock,
    DayDelivery,
    Document,
    Entities,
    Ints,
    Kind,
    LevelFault,
    empty_day,
    utc_now,
)
from meta_graph_simulator.recordings.files import (
    RecordingError,
    read_account,
    read_entities,
    read_insights,
)

_ON_META = frozenset(
    {
        *("link_click", "post_engagement", "page_engagement", "post_interaction_gross"),
        *("post_interaction_net", "post_reaction", "comment", "post", "like", "photo_view"),
        *("video_view", "landing_page_view", "outbound_click", "rsvp", "checkin"),
        *("receive_offer", "leadgen_grouped", "unlike"),
    }
)
_PARENTS = {
    "campaign": ("account_id",),
    "adset": ("account_id", "campaign_id"),
    "ad": ("account_id", "campaign_id", "adset_id"),
}
_FORM_LEAD = "onsite_conversion.lead_grouped"


def is_on_meta(action_type: str) -> bool:
    """Whether an action happens on Meta itself, so that its hour is known.

    Source: the hourly breakdown leaves out off-Meta actions (docs, Insights breakdowns).
    """
    on_site = action_type.startswith("onsite_conversion.")
    return action_type in _ON_META or (on_site and not action_type.endswith("purchase"))


class RecordedAccount:
    """An `AccountSource` that plays the recording in a folder (see `recording`).

    `timezone` overrides what the recording says or what its datetimes suggest.
    """

    def __init__(
        self, folder: Path, clock: Clock = utc_now, *, timezone: str | None = None
    ) -> None:
        self._clock = clock
        self._account = read_account(folder, timezone)
        self._timezone = str(self._account["timezone_name"])
        self._currency = str(self._account["currency"])
        self._rows: dict[date, dict[str, Document]] = defaultdict(dict)
        named: dict[str, dict[str, Document]] = {"campaign": {}, "adset": {}, "ad": {}}
        for place, row in read_insights(folder):
            self._take(place, row)
            _name_objects(row, named)
        self._types = _action_types(row for rows in self._rows.values() for row in rows.values())
        self._entities = read_entities(folder, str(self._account["account_id"]), named)
        self._days: dict[date, DayDelivery] = {}
        self._lock = threading.Lock()

    @property
    def account(self) -> Document:
        """The recorded account document, with the offset at the clock's instant."""
        shift = self.now().astimezone(ZoneInfo(self._timezone)).utcoffset() or timedelta()
        return {**self._account, "timezone_offset_hours_utc": shift.total_seconds() / 3600}

    @property
    def types(self) -> ActionTypes:
        """All action types of the recording."""
        return self._types

    @property
    def level_faults(self) -> Sequence[LevelFault]:
        """None: a recording is played as it is."""
        return ()

    @property
    def days(self) -> tuple[date, ...]:
        """The account-local dates with delivery, in order."""
        return tuple(sorted(self._rows))

    def now(self) -> datetime:
        """The clock's instant, UTC."""
        return self._clock()

    def entities(self) -> Entities:
        """All recorded documents."""
        return self._entities

    def objects(self, kind: Kind) -> Sequence[Document]:
        """Recorded documents of one kind."""
        return self._entities.documents[kind]

    def delivery(self, day: date) -> DayDelivery:
        """The recorded ad-days of a local date, split into hours; no day after the clock's."""
        if day not in self._rows or day > local_date(self.now(), self._timezone):
            return empty_day(day, self._types)
        with self._lock:
            known = self._days.get(day)
            if known is None:
                known = self._days[day] = self._split(day, self._rows[day])
            return known

    def _take(self, place: str, row: Document) -> None:
        try:
            day, ad_id = date.fromisoformat(row["date_start"]), str(row["ad_id"])
        except (KeyError, ValueError) as error:
            raise RecordingError(f"{place}: not an ad-day row ({error})") from None
        if row.get("date_stop", row["date_start"]) != row["date_start"]:
            raise RecordingError(f"{place}: covers more than one day")
        if ad_id in self._rows[day]:
            raise RecordingError(f"{place}: ad {ad_id} is there twice on {day}")
        self._rows[day][ad_id] = row

    def _split(self, day: date, rows: dict[str, Document]) -> DayDelivery:
        types = self._types
        ad_ids = tuple(rows)
        metrics = np.array([self._metrics(row) for row in rows.values()], np.int64)
        by_hour = np.zeros((len(ad_ids), len(types.hourly)), np.int64)
        by_day = np.zeros((len(ad_ids), len(types.daily)), np.int64)
        values = np.zeros((len(ad_ids), len(types.valued)), np.int64)
        for index, row in enumerate(rows.values()):
            counted = {item["action_type"]: int(item["value"]) for item in row.get("actions", ())}
            for name, count in counted.items():
                shown = _hourly_part(name, count, counted)
                if name in types.hourly:
                    by_hour[index, types.hourly.index(name)] = shown
                if name in types.daily:
                    by_day[index, types.daily.index(name)] = count - shown
            for item in row.get("action_values", ()):
                column = types.valued.index(item["action_type"])
                values[index, column] = minor_units(str(item["value"]), self._currency)

        minutes = hour_minutes(day, self._timezone)
        usual = np.array([_weights(ad_id, day, minutes) for ad_id in ad_ids], np.int64)
        impressions = largest_remainder(metrics[:, IMPRESSIONS, None], usual)[:, :, 0]
        shown_at = np.where(impressions.sum(axis=1, keepdims=True) > 0, impressions, usual)
        hours = largest_remainder(metrics, shown_at)
        hours[:, :, IMPRESSIONS] = impressions
        return DayDelivery(
            day,
            ad_ids,
            types,
            hours,
            largest_remainder(by_hour, shown_at),
            by_day,
            values,
            np.array([int(row.get("reach", 0)) for row in rows.values()], np.int64),
        )

    def _metrics(self, row: Document) -> list[int]:
        links = row.get("inline_link_clicks")
        if links is None:
            links = next(
                (a["value"] for a in row.get("actions", ()) if a["action_type"] == "link_click"), 0
            )
        found: dict[str, Any] = {**row, "inline_link_clicks": links}
        found["spend"] = minor_units(str(row.get("spend", "0")), self._currency)
        return [int(found.get(name, 0)) for name in METRICS]


def largest_remainder(totals: Ints, weights: Ints) -> Ints:
    """Split totals (rows x measures) over hours by weights (rows x hours); the parts sum back.

    Returns rows x hours x measures. Hours of weight 0 get nothing; of equal remainders the earlier
    hour's comes first.
    """
    total_weight = weights.sum(axis=1)[:, None, None]
    shares = totals[:, None, :] * weights[:, :, None]
    parts = shares // total_weight
    remainders = shares - parts * total_weight
    left = totals - parts.sum(axis=1)
    order = np.argsort(-remainders, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return np.asarray(parts + (rank < left[:, None, :]), dtype=np.int64)


def _weights(ad_id: str, day: date, minutes: Sequence[int]) -> list[int]:
    """How an ad's day is spread over the hours: day-parts, real hour lengths, a little noise."""
    place = key("hours", ad_id, day.toordinal())
    return [
        DAY_PARTS[hour] * minutes[hour] * (60 + mixed(place, hour) % 81)
        for hour in range(HOURS_PER_DAY)
    ]


def _hourly_part(name: str, count: int, counted: dict[str, int]) -> int:
    """The part of a count whose hour Meta knows: of `lead`, those of instant forms."""
    if name == "lead":
        return min(count, counted.get(_FORM_LEAD, 0))
    return count if is_on_meta(name) else 0


def _action_types(rows: Iterable[Document]) -> ActionTypes:
    seen: dict[str, None] = {}
    valued: dict[str, None] = {}
    for row in rows:
        seen.update(dict.fromkeys(item["action_type"] for item in row.get("actions", ())))
        valued.update(dict.fromkeys(item["action_type"] for item in row.get("action_values", ())))
    forms = _FORM_LEAD in seen
    return ActionTypes(
        tuple(name for name in seen if is_on_meta(name) or (forms and name == "lead")),
        tuple(name for name in seen if not is_on_meta(name)),
        tuple(valued),
    )


def _name_objects(row: Document, named: dict[str, dict[str, Document]]) -> None:
    """Minimal documents of the objects that an insights row names; the latest name stays."""
    for kind, parents in _PARENTS.items():
        object_id = row.get(f"{kind}_id")
        if object_id:
            document = {name: str(row[name]) for name in parents if row.get(name)}
            if row.get(f"{kind}_name"):
                document["name"] = row[f"{kind}_name"]
            named[kind][str(object_id)] = {"id": str(object_id), **document}

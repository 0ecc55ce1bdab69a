"""A recorded ad account played back: real documents and ad-days, split into plausible hours.

The recording knows days only. Every ad-day is spread over its hours by fixed weights and largest
remainders, so the hours sum back to Meta's own numbers exactly. Actions that Meta does not give by
the hour (pixel, Conversions API, app) stay on the day.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from meta_graph_simulator.accounts.currencies import minor_units, offset
from meta_graph_simulator.accounts.hashing import key, mixed
from meta_graph_simulator.accounts.local_time import (
    DAY_PARTS,
    HOURS_PER_DAY,
    hour_minutes,
    last_refresh,
    local_date,
    reported_share,
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
    read_documents,
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
_AMOUNT = re.compile(r"\d{1,12}(\.\d{0,9})?")
COUNTS = ("actions", "conversions")
VALUES = ("action_values", "conversion_values")
_CUSTOM = "offsite_conversion.custom."
_FORM_LEAD = "onsite_conversion.lead_grouped"


def is_on_meta(action_type: str) -> bool:
    """Whether an action happens on Meta itself, so that its hour is known.

    Source: the hourly breakdown leaves out off-Meta actions (docs, Insights breakdowns).
    """
    on_site = action_type.startswith("onsite_conversion.")
    return action_type in _ON_META or (on_site and not action_type.endswith("purchase"))


class RecordedAccount:
    """An ``AccountSource`` that plays the recording in a folder (see ``files``).

    ``timezone`` overrides what the recording says or what its datetimes suggest.
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
        every_row = [row for rows in self._rows.values() for row in rows.values()]
        self._types = _action_types(every_row, offset(self._currency))
        self._value_offset = offset(self._currency) * self._types.value_scale
        self._entities = read_entities(folder, str(self._account["account_id"]), named)
        self._recorded_conversions = read_documents(folder, "customconversions")
        self._days: dict[date, DayDelivery] = {}
        self._running: tuple[tuple[date, tuple[int, ...]], DayDelivery] | None = None
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

    @cached_property
    def custom_conversions(self) -> Sequence[Document]:
        """Those recorded, and one for each that only the insights name."""
        found = {str(document["id"]): document for document in self._recorded_conversions}
        for name in (*self._types.hourly, *self._types.daily):
            if name.startswith(_CUSTOM):
                number = name.removeprefix(_CUSTOM)
                found.setdefault(number, {"id": number, "name": f"Custom conversion {number}"})
        account = {"account_id": self._account["account_id"], "is_archived": False}
        return tuple(account | document for document in found.values())

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
        """The recorded ad-days of a local date, split into hours; nothing after the clock's.

        Of the day that is running, what its ended hours brought.
        """
        now = self.now()
        if day not in self._rows or day > local_date(now, self._timezone):
            return empty_day(day, self._types)
        with self._lock:
            known = self._days.get(day)
            if known is None:
                known = self._days[day] = self._split(day, self._rows[day])
            share = reported_share(day, self._timezone, last_refresh(now))
            if share is None:
                return known
            if self._running is None or self._running[0] != (day, share):
                self._running = (day, share), known.so_far(share)
            return self._running[1]

    def _take(self, place: str, row: Document) -> None:
        try:
            day, ad_id = date.fromisoformat(row["date_start"]), str(row["ad_id"])
        except (KeyError, ValueError) as error:
            raise RecordingError(f"{place}: not an ad-day row ({error})") from None
        if row.get("date_stop", row["date_start"]) != row["date_start"]:
            raise RecordingError(f"{place}: covers more than one day")
        if ad_id in self._rows[day]:
            raise RecordingError(f"{place}: ad {ad_id} is there twice on {day}")
        amounts = {name: row[name] for name in (*METRICS, "reach") if name in row}
        for field in (*COUNTS, *VALUES):
            for item in row.get(field, ()):
                amounts[f"{field} {item.get('action_type')}"] = item.get("value")
        for name, amount in amounts.items():
            if not _AMOUNT.fullmatch(str(amount)):
                raise RecordingError(f"{place}: {name} is {amount!r}, expected a number from 0 up")
        self._rows[day][ad_id] = row

    def _split(self, day: date, rows: dict[str, Document]) -> DayDelivery:
        types = self._types
        ad_ids = tuple(rows)
        metrics = np.array([self._metrics(row) for row in rows.values()], np.int64)
        by_hour = np.zeros((len(ad_ids), len(types.hourly)), np.int64)
        by_day = np.zeros((len(ad_ids), len(types.daily)), np.int64)
        values = np.zeros((len(ad_ids), len(types.valued)), np.int64)
        zeros: dict[str, frozenset[tuple[str, str]]] = {}
        for index, (ad_id, row) in enumerate(rows.items()):
            counted = {
                str(item["action_type"]): scaled(item["value"], types.count_scale)
                for field in COUNTS
                for item in row.get(field, ())
            }
            for name, count in counted.items():
                shown = _hourly_part(name, count, counted)
                if name in types.hourly:
                    by_hour[index, types.hourly.index(name)] = shown
                if name in types.daily:
                    by_day[index, types.daily.index(name)] = count - shown
            for field in VALUES:
                for item in row.get(field, ()):
                    column = types.valued.index(item["action_type"])
                    values[index, column] = scaled(item["value"], self._value_offset)
            sent = frozenset(
                (field, str(item["action_type"]))
                for field in (*COUNTS, *VALUES)
                for item in row.get(field, ())
                if not Decimal(str(item["value"]))
            )
            if sent:
                zeros[ad_id] = sent

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
            np.array([scaled(row.get("reach", 0), 1) for row in rows.values()], np.int64),
            zeros=zeros,
        )

    def _metrics(self, row: Document) -> list[int]:
        links = row.get("inline_link_clicks")
        if links is None:
            links = next(
                (a["value"] for a in row.get("actions", ()) if a["action_type"] == "link_click"), 0
            )
        found: dict[str, Any] = {**row, "inline_link_clicks": links}
        found["spend"] = minor_units(str(row.get("spend", "0")), self._currency)
        return [scaled(found.get(name, 0), 1) for name in METRICS]


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
    """The part of a count whose hour Meta knows: of ``lead``, those of instant forms."""
    if name == "lead":
        return min(count, counted.get(_FORM_LEAD, 0))
    return count if is_on_meta(name) else 0


def scaled(value: object, scale: int) -> int:
    """A recorded amount in parts of one: "2.5" of scale 10 is 25."""
    return int((Decimal(str(value)) * scale).to_integral_value(ROUND_HALF_UP))


def _action_types(rows: Sequence[Document], currency_offset: int) -> ActionTypes:
    seen: dict[str, dict[str, None]] = {field: {} for field in (*COUNTS, *VALUES)}
    digits = dict.fromkeys(seen, 0)
    for row in rows:
        for field, names in seen.items():
            for item in row.get(field, ()):
                names[str(item["action_type"])] = None
                exponent = Decimal(str(item["value"])).normalize().as_tuple().exponent
                digits[field] = max(digits[field], -int(exponent))
    named = {name for field in ("conversions", "conversion_values") for name in seen[field]}
    named -= {*seen["actions"], *seen["action_values"]}
    counted = dict.fromkeys((*seen["actions"], *seen["conversions"]))
    forms = _FORM_LEAD in counted
    minor_digits = len(str(currency_offset)) - 1
    return ActionTypes(
        tuple(name for name in counted if is_on_meta(name) or (forms and name == "lead")),
        tuple(name for name in counted if not is_on_meta(name)),
        tuple(dict.fromkeys((*seen["action_values"], *seen["conversion_values"]))),
        frozenset(named),
        10 ** max(digits[field] for field in COUNTS),
        10 ** max(0, *(digits[field] - minor_digits for field in VALUES)),
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

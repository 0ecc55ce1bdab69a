"""Changes planted over a sound account: restated days, vanished rows, edited and deleted objects.

Every change but a ``LevelFault`` is made to the facts themselves, so all levels and grains still
agree afterwards; a level fault makes one level disagree on purpose.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from meta_graph_simulator.accounts.edits import Edits
from meta_graph_simulator.accounts.local_time import meta_datetime
from meta_graph_simulator.accounts.source import (
    IMPRESSIONS,
    KINDS,
    METRICS,
    AccountSource,
    ActionTypes,
    DayDelivery,
    Document,
    Entities,
    Ints,
    Kind,
    LevelFault,
)


@dataclass(frozen=True, slots=True)
class _Restatement:
    factor: Fraction
    ad_id: str | None


@dataclass(frozen=True, slots=True)
class _Vanished:
    ad_id: str | None
    hour: int | None


@dataclass(frozen=True, slots=True)
class _Adjustment:
    ad_id: str
    hour: int | None
    changes: Mapping[str, int]


_Change = _Restatement | _Vanished | _Adjustment


@dataclass(slots=True)
class _Changes:
    days: dict[date, list[_Change]] = field(default_factory=dict)
    deleted: dict[str, datetime] = field(default_factory=dict)
    faults: list[LevelFault] = field(default_factory=list)
    edits: Edits = field(default_factory=Edits)


class ChangeableAccount:
    """An ``AccountSource`` over another one, with changes. Without changes it is transparent."""

    def __init__(self, base: AccountSource) -> None:
        self._base = base
        self._lock = threading.RLock()
        self._changes = _Changes()
        self._revision = 0
        self._days: dict[date, tuple[DayDelivery, int, DayDelivery]] = {}
        self._entities: tuple[Entities, int, Entities] | None = None

    @property
    def account(self) -> Document:
        """The account document of the source below."""
        return self._base.account

    @property
    def types(self) -> ActionTypes:
        """The action types of the source below."""
        return self._base.types

    @property
    def level_faults(self) -> Sequence[LevelFault]:
        """Level faults planted here and below."""
        with self._lock:
            return (*self._base.level_faults, *self._changes.faults)

    @property
    def custom_conversions(self) -> Sequence[Document]:
        """The custom conversions of the source below."""
        return self._base.custom_conversions

    def now(self) -> datetime:
        """The instant of the source below."""
        return self._base.now()

    def objects(self, kind: Kind) -> Sequence[Document]:
        """Documents of one kind, edits and deletions applied."""
        return self.entities().documents[kind]

    def restate(
        self, days: Iterable[date], factor: Fraction | float | str, *, ad_id: str | None = None
    ) -> None:
        """Multiply every measure on these account-local dates, for one ad or all (rounded down)."""
        exact = Fraction(str(factor))
        if exact < 0:
            raise ValueError(f"a restatement factor cannot be negative: {factor}")
        self._plant(days, _Restatement(exact, ad_id))

    def adjust(
        self, ad_id: str, day: date, changes: Mapping[str, int], *, hour: int | None = None
    ) -> None:
        """Add explicit amounts to one ad: metrics and on-Meta actions need ``hour``.

        Keys are METRICS (spend in minor units) or action types. Without ``hour`` they are off-Meta
        action types; ``value:<type>`` adds to an action value. Nothing falls below 0.
        """
        hourly = (*METRICS, *self.types.hourly)
        daily = (*self.types.daily, *(f"value:{name}" for name in self.types.valued))
        for name in changes:
            if name not in (daily if hour is None else hourly):
                grain = "day" if hour is None else "hour"
                raise ValueError(f"{name} is no measure that this account has by the {grain}")
        self._plant([day], _Adjustment(ad_id, hour, dict(changes)))

    def vanish(
        self, days: Iterable[date], *, ad_id: str | None = None, hour: int | None = None
    ) -> None:
        """Make delivery disappear: of one ad or all, in one local hour or the whole day."""
        self._plant(days, _Vanished(ad_id, hour))

    def delete_object(self, object_id: str) -> None:
        """Delete a campaign, ad set, ad or creative now, with all under it; delivery ends here."""
        if self.entities().find(object_id) is None:
            raise KeyError(f"no object with the id {object_id}")
        with self._lock:
            self._changes.deleted[object_id] = self.now()
            self._revision += 1

    def edit_object(self, object_id: str, members: Document) -> None:
        """Give an object other members, such as a status; what is under it follows.

        Delivery stays as it is: of a paused object too.
        """
        if self.entities().find(object_id) is None:
            raise KeyError(f"no object with the id {object_id}")
        updated = meta_datetime(self.now(), str(self.account["timezone_name"]))
        with self._lock:
            known = self._changes.edits.changed.setdefault(object_id, {})
            known.update({"updated_time": updated, **members})
            self._revision += 1

    def add_ad(self, adset_id: str, name: str) -> Document:
        """Make a new ad, without delivery, like another one of the ad set."""
        entities = self.entities()
        created = meta_datetime(self.now(), str(self.account["timezone_name"]))
        with self._lock:
            made = self._changes.edits.new_ad(entities, adset_id, name, created)
            self._revision += 1
        return made

    def plant_level_fault(self, fault: LevelFault) -> None:
        """Make one level disagree with the others."""
        with self._lock:
            self._changes.faults.append(fault)
            self._revision += 1

    def clear(self) -> None:
        """Take every change back."""
        with self._lock:
            self._changes = _Changes()
            self._days.clear()
            self._revision += 1

    def entities(self) -> Entities:
        """All documents, edits and deletions applied."""
        below = self._base.entities()
        with self._lock:
            if not self._changes.deleted and not self._changes.edits:
                return below
            if self._entities and self._entities[:2] == (below, self._revision):
                return self._entities[2]
            edits = self._changes.edits
            made = self._without_deleted(edits.applied(below) if edits else below)
            self._entities = (below, self._revision, made)
            return made

    def delivery(self, day: date) -> DayDelivery:
        """Delivery on an account-local date with the changes of that date."""
        below = self._base.delivery(day)
        with self._lock:
            changes = list(self._changes.days.get(day, ()))
            if not changes and not self._ended_by(day):
                return below
            known = self._days.get(day)
            if known and known[0] is below and known[1] == self._revision:
                return known[2]
            revision = self._revision
        made = below
        for change in changes:
            made = self._changed(made, change)
        if self._ended_by(day):
            made = self._stopped(made)
        with self._lock:
            if made is not below:
                self._days[day] = (below, revision, made)
        return made

    def _plant(self, days: Iterable[date], change: _Change) -> None:
        with self._lock:
            for day in days:
                self._changes.days.setdefault(day, []).append(change)
            self._revision += 1

    @staticmethod
    def _changed(day: DayDelivery, change: _Change) -> DayDelivery:
        concerned = np.array([change.ad_id in (None, ad) for ad in day.ad_ids], dtype=np.bool_)
        arrays = [array.copy() for array in day.arrays()]
        hours, hour_actions, day_actions, day_values, reach = arrays
        if isinstance(change, _Restatement):
            for array in arrays:
                scaled = array[concerned] * change.factor.numerator // change.factor.denominator
                array[concerned] = scaled
        elif isinstance(change, _Vanished):
            if change.hour is None:
                return day.keep(~concerned)
            hours[concerned, change.hour] = 0
            hour_actions[concerned, change.hour] = 0
        else:
            for name, amount in change.changes.items():
                target, column = _place(name, day.types, arrays, by_hour=change.hour is not None)
                where = (
                    (concerned, change.hour, column) if target.ndim == 3 else (concerned, column)
                )
                target[where] = np.maximum(target[where] + amount, 0)
        return _tidy(day, hours, hour_actions, day_actions, day_values, reach)

    def _ended_by(self, day: date) -> bool:
        """Whether anything was deleted on or before the account-local date."""
        zone = ZoneInfo(str(self.account["timezone_name"]))
        moments = self._changes.deleted.values()
        return any(moment.astimezone(zone).date() <= day for moment in moments)

    def _stopped(self, day: DayDelivery) -> DayDelivery:
        """Delivery without what would have come after a deletion."""
        ends = self._deletion_times()
        zone = ZoneInfo(str(self.account["timezone_name"]))
        keep = np.ones(len(day.ad_ids), dtype=np.bool_)
        hours, hour_actions = day.hours.copy(), day.hour_actions.copy()
        for row, ad_id in enumerate(day.ad_ids):
            moment = ends.get(ad_id)
            if moment is None:
                continue
            local = moment.astimezone(zone)
            keep[row] = day.day <= local.date()
            if day.day == local.date():
                hours[row, local.hour + 1 :] = 0
                hour_actions[row, local.hour + 1 :] = 0
        if keep.all() and np.array_equal(hours, day.hours):
            return day
        tidy = _tidy(day, hours, hour_actions, day.day_actions, day.day_values, day.reach)
        kept = {ad for ad, kept in zip(day.ad_ids, keep.tolist(), strict=True) if kept}
        return tidy.keep(np.array([ad in kept for ad in tidy.ad_ids], dtype=np.bool_))

    def _deletion_times(self) -> dict[str, datetime]:
        deleted = self._changes.deleted
        ends: dict[str, datetime] = {}
        for ad in self._base.objects("ad"):
            above = (str(ad["id"]), str(ad.get("adset_id")), str(ad.get("campaign_id")))
            moments = [deleted[object_id] for object_id in above if object_id in deleted]
            if moments:
                ends[above[0]] = min(moments)
        return ends

    def _without_deleted(self, below: Entities) -> Entities:
        timezone = str(self.account["timezone_name"])
        deleted = self._changes.deleted

        def shown(document: Document) -> Document:
            ids = [str(document.get(name)) for name in ("id", "adset_id", "campaign_id")]
            moments = [deleted[object_id] for object_id in ids if object_id in deleted]
            if not moments:
                return document
            gone = {"status": "DELETED", "updated_time": meta_datetime(min(moments), timezone)}
            if "effective_status" in document:
                gone |= {"effective_status": "DELETED", "configured_status": "DELETED"}
            else:
                del gone["updated_time"]  # creatives have neither
            return {**document, **gone}

        return Entities.of({kind: map(shown, below.documents[kind]) for kind in KINDS})


def _place(
    name: str, types: ActionTypes, arrays: Sequence[Ints], *, by_hour: bool
) -> tuple[Ints, int]:
    """The array and column of a measure named in ``adjust``."""
    hours, hour_actions, day_actions, day_values, _ = arrays
    if name in METRICS:
        return hours, METRICS.index(name)
    if name.startswith("value:"):
        return day_values, types.valued.index(name.removeprefix("value:"))
    if by_hour:
        return hour_actions, types.hourly.index(name)
    return day_actions, types.daily.index(name)


def _tidy(
    day: DayDelivery,
    hours: Ints,
    hour_actions: Ints,
    day_actions: Ints,
    day_values: Ints,
    reach: Ints,
) -> DayDelivery:
    """A day whose empty hours are empty in every measure, without ads that did nothing."""
    silent = (hours[:, :, IMPRESSIONS] == 0) & (day.hours[:, :, IMPRESSIONS] > 0)
    hours[silent] = 0
    hour_actions[silent] = 0
    reach = np.minimum(reach, hours[:, :, IMPRESSIONS].sum(axis=1))
    made = DayDelivery(
        day.day,
        day.ad_ids,
        day.types,
        hours,
        hour_actions,
        day_actions,
        day_values,
        reach,
        zeros=day.zeros,
    )
    active: NDArray[np.bool_] = np.asarray(
        hours.any(axis=(1, 2)) | day_actions.any(axis=1) | day_values.any(axis=1)
    )
    return made if active.all() else made.keep(active)

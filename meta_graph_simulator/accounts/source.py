"""What the simulated Graph API serves: one ad account's documents and its delivery, day by day.

The generator and the recordings each give an ``AccountSource``; the server and ``insights.run``
read nothing else. All delivery is held as integers at the finest grain (ad x local hour, and ad x
day for what Meta knows by the day only), so every level and every grain sums exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["campaign", "adset", "ad", "creative"]
Level: TypeAlias = Literal["account", "campaign", "adset", "ad"]
Document: TypeAlias = dict[str, Any]
Clock: TypeAlias = Callable[[], datetime]
Ints: TypeAlias = NDArray[np.int64]

KINDS: tuple[Kind, ...] = ("campaign", "adset", "ad", "creative")
HOURS_PER_DAY = 24  # labels 00..23; a label is empty in spring and merged in autumn
SPEND, IMPRESSIONS, CLICKS, LINK_CLICKS = range(4)
METRICS = ("spend", "impressions", "clicks", "inline_link_clicks")


def utc_now() -> datetime:
    """The real clock: the present instant, UTC."""
    return datetime.now(UTC)


class ParameterError(Exception):
    """A request that Meta refuses: becomes an error body with HTTP status 400.

    ``code`` and ``subcode`` are Meta's; ``blame_fields`` go to ``error_data.blame_field_specs``.
    """

    def __init__(
        self,
        message: str,
        code: int = 100,
        subcode: int | None = None,
        blame_fields: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.blame_fields = tuple(blame_fields)


@dataclass(frozen=True, slots=True)
class ActionTypes:
    """The action types of one account, in column order.

    ``hourly`` are on-Meta actions, known by the hour. ``daily`` are off-Meta ones (pixel,
    Conversions API, app), known by the day only. A type may be in both (``lead`` is the sum of
    instant forms and pixel leads): its daily value is the sum of its hours plus its daily column.
    ``valued`` have action values.

    ``named`` are the daily types that the fields ``conversions`` and ``conversion_values`` report,
    and no other field: standard events such as Contact (``contact_total``, ``contact_website``) and
    custom events (``offsite_conversion.fb_pixel_custom.<name>``). ``actions`` has them only inside
    ``offsite_conversion.fb_pixel_custom``.
    """

    hourly: tuple[str, ...] = ()
    daily: tuple[str, ...] = ()
    valued: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    # A count is held in so many parts of one, a value in so many parts of a minor unit: recorded
    # accounts have fractions of both.
    count_scale: int = 1
    value_scale: int = 1


@dataclass(frozen=True, slots=True)
class DayDelivery:
    """Delivery of one account on one of its local dates; row i of every array is ad ``ad_ids[i]``.

    ``hours`` (ads x 24 x METRICS) and ``hour_actions`` (ads x 24 x types.hourly) are by local hour
    label; ``day_actions`` (ads x types.daily), ``day_values`` (ads x types.valued) and ``reach``
    (ads) are by day. Spend and values are integers in the currency's minor units. Arrays are
    read-only. ``zeros`` names, by ad, the items of list fields that Meta sent with the value "0":
    pairs of field and action type (``("actions", "omni_purchase")``).
    """

    day: date
    ad_ids: tuple[str, ...]
    types: ActionTypes
    hours: Ints
    hour_actions: Ints
    day_actions: Ints
    day_values: Ints
    reach: Ints
    zeros: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        for array in self.arrays():
            array.flags.writeable = False

    def arrays(self) -> tuple[Ints, ...]:
        """Every array of the day, ads first."""
        return self.hours, self.hour_actions, self.day_actions, self.day_values, self.reach

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, in bytes."""
        return sum(array.nbytes for array in self.arrays())

    def total(self, metric: str) -> int:
        """Sum of one of METRICS over all ads and hours; spend in minor units."""
        return int(self.hours[:, :, METRICS.index(metric)].sum())

    def keep(self, rows: NDArray[np.bool_]) -> DayDelivery:
        """The same day with only the ads whose row is true in ``rows``."""
        return DayDelivery(
            self.day,
            tuple(ad for ad, kept in zip(self.ad_ids, rows.tolist(), strict=True) if kept),
            self.types,
            *(array[rows] for array in self.arrays()),
            zeros=self.zeros,
        )

    def so_far(self, permille: Sequence[int]) -> DayDelivery:
        """What is reported of a day that is not over, given the share of each hour that is.

        Rounded down; day measures follow the ad's share of impressions.
        """
        share = np.array(permille, np.int64)[None, :, None]
        hours, hour_actions = self.hours * share // 1000, self.hour_actions * share // 1000
        shown = (hours[:, :, IMPRESSIONS] > 0)[:, :, None]
        part = hours[:, :, IMPRESSIONS].sum(axis=1)
        whole = np.maximum(self.hours[:, :, IMPRESSIONS].sum(axis=1), 1)
        made = DayDelivery(
            self.day,
            self.ad_ids,
            self.types,
            hours * shown,
            hour_actions * shown,
            self.day_actions * part[:, None] // whole[:, None],
            self.day_values * part[:, None] // whole[:, None],
            -(-self.reach * part // whole),
            zeros=self.zeros,
        )
        return made.keep(part > 0)


def empty_day(day: date, types: ActionTypes) -> DayDelivery:
    """A day on which nothing was delivered."""
    return DayDelivery(
        day,
        (),
        types,
        np.zeros((0, HOURS_PER_DAY, len(METRICS)), np.int64),
        np.zeros((0, HOURS_PER_DAY, len(types.hourly)), np.int64),
        np.zeros((0, len(types.daily)), np.int64),
        np.zeros((0, len(types.valued)), np.int64),
        np.zeros(0, np.int64),
    )


@dataclass(frozen=True, eq=False)
class Entities:
    """Every document of an account at one moment, with look-up by id. Never changed once made.

    Two are equal only if they are the same object, so that what is derived can be cached by it.
    """

    documents: Mapping[Kind, tuple[Document, ...]]
    by_id: Mapping[Kind, Mapping[str, Document]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_id = {
            kind: {str(document["id"]): document for document in self.documents.get(kind, ())}
            for kind in KINDS
        }
        object.__setattr__(self, "by_id", by_id)

    @classmethod
    def of(cls, documents: Mapping[Kind, Iterable[Document]]) -> Entities:
        """Entities from any iterables of documents."""
        return cls({kind: tuple(documents.get(kind, ())) for kind in KINDS})

    def find(self, object_id: str) -> tuple[Kind, Document] | None:
        """The kind and document of an id, or None."""
        for kind in KINDS:
            document = self.by_id[kind].get(object_id)
            if document is not None:
                return kind, document
        return None


@dataclass(frozen=True, slots=True)
class LevelFault:
    """One level made to disagree on purpose: ``drop`` leaves ads out, ``repeat`` sends rows twice.

    Without ``ad_id`` it concerns every ad, without ``day`` every day. At levels above ``ad`` a
    dropped ad is missing from the sums; a repeated one repeats the row that it belongs to.
    """

    level: Level
    action: Literal["drop", "repeat"]
    ad_id: str | None = None
    day: date | None = None

    def concerns(self, level: Level, day: date) -> bool:
        """Whether answers of this level contain the fault on this day."""
        return self.level == level and self.day in (None, day)


class AccountSource(Protocol):
    """One ad account: documents as the Graph API shows them now, and delivery by day."""

    @property
    def account(self) -> Document:
        """The whole ``/act_`` document: id ``act_1``, account_id ``1``, currency, timezone_name."""
        ...

    @property
    def types(self) -> ActionTypes:
        """The account's action types, the same for every day."""
        ...

    @property
    def level_faults(self) -> Sequence[LevelFault]:
        """Disagreements between levels planted on purpose; empty for a sound account."""
        ...

    @property
    def custom_conversions(self) -> Sequence[Document]:
        """The account's custom conversions, archived ones included."""
        ...

    def now(self) -> datetime:
        """The simulated present, tz-aware UTC."""
        ...

    def entities(self) -> Entities:
        """Every document incl. archived and deleted ones; the same object until one changes."""
        ...

    def objects(self, kind: Kind) -> Sequence[Document]:
        """Documents of one kind, incl. archived and deleted ones (their status says so)."""
        ...

    def delivery(self, day: date) -> DayDelivery:
        """Delivery on the account-local date as reported now; cached, never to be changed."""
        ...

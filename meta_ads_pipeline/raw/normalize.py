"""Insights rows as Meta sends them -> typed columns. Pure, columnar, and never fails on a row.

Every metric of the Insights API is text in JSON (old samples have bare numbers, which are accepted
too). A value that cannot be read becomes null here and a ``Problem``; what happens to its row is
decided by ``schemas.validate``. Missing stays null: it is not zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from meta_ads_pipeline.insights_tables import VALUES, InsightsTable, meta_field
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.raw.action_items import ActionItems
from meta_ads_pipeline.raw.hour_labels import HOUR_OF_LABEL, hours_of_day
from meta_ads_pipeline.raw.json_text import TooDeepError, json_text, storable_text

Row: TypeAlias = dict[str, Any]
Values: TypeAlias = list[Any]

_LARGEST_BIGINT = 2**63 - 1
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SHOWN = 80


@dataclass(frozen=True)
class Problem:
    """Why one value of one row cannot be used. ``position`` is the row's place in the answer."""

    position: int
    field: str
    reason: str


@dataclass(frozen=True)
class NormalizedRows:
    """A frame with one line per row of the answer (its index: the row's place), and problems."""

    frame: pd.DataFrame
    problems: list[Problem]


def normalize(rows: Sequence[Any], table: InsightsTable, timezone: str) -> NormalizedRows:
    """Bring the rows of an insights answer into the columns of ``table``, plus ``account_id``.

    Money is exact ``Decimal`` in major units of the account's currency; ``event_date`` and
    ``event_hour`` are account-local; ``event_at`` is UTC. ``timezone`` is the account's IANA name;
    raises ``zoneinfo.ZoneInfoNotFoundError`` when it is unknown.
    """
    return _Normalizer(rows, timezone).run(table)


class _Normalizer:
    def __init__(self, rows: Sequence[Any], timezone: str) -> None:
        self.problems: list[Problem] = []
        self.timezone = timezone
        self.rows = self._objects(rows)

    def run(self, table: InsightsTable) -> NormalizedRows:
        dates = self._parse("date_stop" if table.has_periods else "date_start", _parse_date)
        columns: dict[str, Any] = {
            "event_date": _objects(dates),
            "account_id": self._texts("account_id"),
        }
        if table.grain == "hour":
            columns.update(self._hours(dates))
        else:
            self._refuse_hours()
        if table.has_periods:
            columns["period_start"] = _objects(self._parse("date_start", _parse_date))
            columns["period_end"] = _objects(dates)
        columns.update(
            (name, self._column(name, table)) for name in table.columns if name not in columns
        )
        return NormalizedRows(pd.DataFrame(columns), sorted(self.problems, key=_by_position))

    def _column(self, name: str, table: InsightsTable) -> pd.Series[Any]:
        kind, field = VALUES.get(name), meta_field(name)
        if name == "link_clicks":
            return self._link_clicks(field)
        if kind == "decimal":
            return _objects(self._parse(field, parse_decimal))
        if kind == "integer":
            return _integers(self._parse(field, _parse_integer))
        if kind == "list":
            return self._actions(field, table)
        return self._texts(field)

    def _objects(self, rows: Sequence[Any]) -> list[Row]:
        if set(map(type, rows)) <= {dict}:
            return list(rows)
        kept: list[Row] = []
        for position, row in enumerate(rows):
            if not isinstance(row, dict):
                self._report(position, "row", row, "a JSON object")
            kept.append(row if isinstance(row, dict) else {})
        return kept

    def _report(self, position: int, field: str, value: Any, expected: str) -> None:
        self.problems.append(
            Problem(position, field, f"{field}: expected {expected}, got {shown(value)}")
        )

    def _parse(self, field: str, parse: Callable[[Any], Any]) -> Values:
        return self._parsed(field, [row.get(field) for row in self.rows], parse)

    def _parsed(self, field: str, values: Values, parse: Callable[[Any], Any]) -> Values:
        if set(map(type, values)) <= {str, type(None)}:
            # Texts repeat a lot: each distinct one is read once.
            known: dict[Hashable, Any] = {}
            unreadable: dict[Hashable, str] = {}
            for value in set(values):
                try:
                    known[value] = None if value is None else parse(value)
                except ValueError as error:
                    known[value], unreadable[value] = None, str(error)
            if unreadable:
                for position, value in enumerate(values):
                    if value in unreadable:
                        self._report(position, field, value, unreadable[value])
            return [known[value] for value in values]
        parsed = []
        for position, value in enumerate(values):
            try:
                parsed.append(None if value is None else parse(value))
            except ValueError as error:
                self._report(position, field, value, str(error))
                parsed.append(None)
        return parsed

    def _texts(self, field: str) -> pd.Series[Any]:
        values = [row.get(field) for row in self.rows]
        if not set(map(type, values)) <= {str, type(None)}:
            values = self._parsed(field, values, _parse_text)
        # pandas cannot encode half a surrogate pair, which is what Meta cuts an emoji into.
        return _objects(
            [text if text is None or text.isascii() else storable_text(text) for text in values]
        )

    def _link_clicks(self, field: str) -> pd.Series[Any]:
        values = [row.get(field) for row in self.rows]
        if None in values:
            values = [
                _link_click_action(row.get("actions")) if value is None else value
                for value, row in zip(values, self.rows, strict=True)
            ]
        return _integers(self._parsed(field, values, _parse_integer))

    def _actions(self, field: str, table: InsightsTable) -> pd.Series[Any]:
        """As JSON text, unchanged. Days are counted from them, so their numbers must be such."""
        texts: Values = []
        items = ActionItems(parse_decimal) if table.grain == "day" else None
        for position, row in enumerate(self.rows):
            value = row.get(field)
            if value is not None and not isinstance(value, list):
                self._report(position, field, value, "a list of action objects")
                value = None
            elif value and items and (unusable := items.unusable(value)):
                self._report(position, field, *unusable)
                value = None
            try:
                texts.append(None if value is None else json_text(value))
            except TooDeepError as error:
                self._report(position, field, "a deeper value", str(error))
                texts.append(None)
        return _objects(texts)

    def _refuse_hours(self) -> None:
        for position, row in enumerate(self.rows):
            if HOURLY_BREAKDOWN in row:
                self._report(
                    position, HOURLY_BREAKDOWN, row[HOURLY_BREAKDOWN], "a row of the whole day"
                )

    def _hours(self, dates: Values) -> dict[str, Any]:
        labels = self._parsed(
            HOURLY_BREAKDOWN, [row.get(HOURLY_BREAKDOWN) for row in self.rows], _parse_hour_label
        )
        # There are only a few hundred distinct (date, hour); rows point at them by number.
        places: dict[tuple[date | None, int | None], int] = {}
        codes = np.fromiter(
            (places.setdefault(pair, len(places)) for pair in zip(dates, labels, strict=True)),
            dtype=np.intp,
            count=len(labels),
        )
        instants: list[Any] = []
        flags = np.empty(len(places), dtype=object)
        for (day, hour), place in places.items():
            if day is None or hour is None:
                instants.append(None)
                continue
            local_hour = hours_of_day(day, self.timezone)[hour]
            instants.append(local_hour.event_at)
            flags[place] = local_hour.flag
        return {
            "event_hour": _integers(labels),
            "event_at": pd.Series(
                pd.DatetimeIndex(pd.to_datetime(instants, utc=True)).as_unit("us").take(codes)
            ),
            "hour_flag": pd.Series(flags.take(codes), dtype=object),
        }


def parse_decimal(value: Any) -> Decimal:
    """An exact decimal from JSON text or a bare JSON number read as ``Decimal`` or ``int``.

    Raises ``ValueError`` saying what was expected.
    """
    exact = isinstance(value, str | int | Decimal) and not isinstance(value, bool)
    if not exact or _DECIMAL.fullmatch(str(value)) is None:
        raise ValueError("an exact decimal number")
    return Decimal(str(value))


def _parse_integer(value: Any) -> int:
    if (
        isinstance(value, Decimal)
        and abs(value.adjusted()) < len(str(_LARGEST_BIGINT))
        and value == value.to_integral_value()
    ):
        value = int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or abs(value) > _LARGEST_BIGINT:
        raise ValueError("a whole number")
    return int(value)


def _parse_date(value: Any) -> date:
    if not isinstance(value, str) or _DATE.fullmatch(value) is None:
        raise ValueError("a date YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ValueError("a date YYYY-MM-DD") from error


def _parse_hour_label(value: Any) -> int:
    hour = HOUR_OF_LABEL.get(value) if isinstance(value, str) else None
    if hour is None:
        raise ValueError("an hour label such as '00:00:00 - 00:59:59'")
    return hour


def _parse_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("text")


def _link_click_action(actions: Any) -> Any:
    """The count of the ``link_click`` action; None when there is none (which is not zero)."""
    if isinstance(actions, list):
        for action in actions:
            if isinstance(action, dict) and action.get("action_type") == "link_click":
                return action.get("value")
    return None


def shown(value: Any) -> str:
    """A value for a message: short, in quotes where it is text."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _by_position(problem: Problem) -> int:
    return problem.position


def _objects(values: Values) -> pd.Series[Any]:
    return pd.Series(values, dtype=object)


def _integers(values: Values) -> pd.Series[Any]:
    missing = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    if missing.any():
        values = [0 if value is None else value for value in values]
    return pd.Series(pd.arrays.IntegerArray(np.array(values, dtype=np.int64), missing))

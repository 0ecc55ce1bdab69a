"""An Ads Manager export as read: its rows, its totals, and what of it could not be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from meta_ads_pipeline.errors import ConfigurationError

LEVELS = ("account", "campaign", "adset", "ad")
"""From the whole to its parts."""


class AdsManagerFileError(ConfigurationError):
    """The file cannot be compared; the message names the column or line and what was expected."""


@dataclass(frozen=True)
class BadLine:
    """A line that was left out. ``line`` counts from 1 in the file, ``column`` is its heading."""

    line: int
    column: str | None
    reason: str


@dataclass(frozen=True)
class ExportRow:
    """One object in one period, both dates included, account-local.

    ``names`` has ``campaign_id``, ``campaign_name`` and so on, as far as the file has them;
    ``others`` the texts of columns that mean nothing here, by heading. ``values`` has every measure
    of the file; None where the cell is empty. ``hour`` is None in a file that is not by hour.
    """

    line: int
    names: Mapping[str, str]
    start: date
    end: date
    values: Mapping[str, Decimal | None]
    hour: int | None = None
    currency: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """An export as read. Amounts are exact, in major units of each row's currency."""

    level: str
    columns: Mapping[str, str]
    measures: tuple[str, ...]
    rows: tuple[ExportRow, ...]
    bad_lines: tuple[BadLine, ...]
    totals: Mapping[str, Decimal | None] | None
    not_compared: tuple[str, ...]
    notes: tuple[str, ...] = ()

"""Compare an Ads Manager export with the daily marts: what differs, where and by how much."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import psycopg

from meta_ads_pipeline.control.accounts import Account, active_accounts
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.quality.ads_manager_columns import AMOUNTS
from meta_ads_pipeline.quality.ads_manager_csv import (
    LEVELS,
    AdsManagerFileError,
    BadLine,
    Export,
    ExportRow,
)

CENT = Decimal("0.01")
"""Amounts this close are equal: Ads Manager rounds what it shows."""

Key: TypeAlias = tuple[str, ...]
Period: TypeAlias = tuple[date, date]
Values: TypeAlias = dict[str, Decimal | None]
_Cells: TypeAlias = dict[tuple[Key, Period], Values]

_SOURCES = {
    "account": ("", ""),
    "campaign": (
        "daily.campaign_id, campaigns.name as campaign_name,",
        "left join marts.dim_campaigns as campaigns on daily.campaign_id = campaigns.campaign_id",
    ),
    "adset": (
        "daily.adset_id, adsets.name as adset_name,",
        "left join marts.dim_adsets as adsets on daily.adset_id = adsets.adset_id",
    ),
    "ad": (
        "daily.ad_id, ads.name as ad_name,",
        "left join marts.dim_ads as ads on daily.ad_id = ads.ad_id",
    ),
}


@dataclass(frozen=True)
class Difference:
    """One measure of one object and period that is not equal on both sides.

    ``difference`` is ours minus the file's, ``relative`` its size as a share of the file's value
    (None where that is 0). ``only_in`` is ``file`` or ``marts`` where the other side has no row.
    """

    object_id: str | None
    object_name: str | None
    start: date
    end: date
    measure: str
    file_value: Decimal | None
    our_value: Decimal | None
    difference: Decimal
    relative: Decimal | None
    within_tolerance: bool
    only_in: str | None


@dataclass(frozen=True)
class MeasureTotal:
    """A measure summed over everything that was compared; ``relative`` as in ``Difference``."""

    file_value: Decimal
    our_value: Decimal
    difference: Decimal
    relative: Decimal | None


@dataclass(frozen=True)
class Verification:
    """What the comparison found. Amounts are in major units of ``currency``, dates local."""

    account_id: str
    currency: str
    level: str
    by_day: bool
    matched_by: tuple[str, ...]
    start: date
    end: date
    tolerance: Decimal
    measures: tuple[str, ...]
    compared: int
    equal: int
    totals: Mapping[str, MeasureTotal]
    differences: tuple[Difference, ...]
    only_in_file: tuple[str, ...]
    only_in_marts: tuple[str, ...]
    bad_lines: tuple[BadLine, ...]
    notes: tuple[str, ...]

    @property
    def beyond(self) -> tuple[Difference, ...]:
        """The differences that are larger than the tolerance."""
        return tuple(found for found in self.differences if not found.within_tolerance)

    @property
    def aligned(self) -> bool:
        """Every line was read and nothing differs by more than the tolerance."""
        return not self.beyond and not self.bad_lines

    def as_json(self) -> dict[str, Any]:
        """The whole result; numbers are exact decimals for ``json.dumps(..., default=str)``."""
        return {
            "aligned": self.aligned,
            "within_tolerance": len(self.differences) - len(self.beyond),
            "beyond_tolerance": len(self.beyond),
            **asdict(self),
        }


def choose_account(database: Database, export: Export, asked: str | None) -> Account:
    """The account that the file is of: ``asked`` (without ``act_``), else what the file names,
    else the only active one.

    Raises ``AdsManagerFileError`` when that leaves a choice or contradicts the file, and
    ``UnknownAccountError`` when ``asked`` was never synced.
    """
    in_file = {row.names["account_id"] for row in export.rows if row.names.get("account_id")}
    in_file = {account_id.removeprefix("act_") for account_id in in_file}
    known = active_accounts(database, only=[asked] if asked else ())
    column = export.columns.get("account_id")
    if asked is None and in_file:
        chosen = [account for account in known if account.account_id in in_file]
        if not chosen:
            raise AdsManagerFileError(
                f"column {column!r}: {_listed(in_file)} is not synced here, only {_named(known)}"
            )
    elif asked is None:
        titles = {_name(row.names.get("account_name", "")) for row in export.rows} - {""}
        chosen = [account for account in known if _name(account.name or "") in titles] or known
    else:
        chosen = known
        if in_file and asked not in in_file:
            raise AdsManagerFileError(
                f"column {column!r} says {_listed(in_file)}, but --account is {asked}"
            )
    if len(chosen) != 1 or (asked is None and len(in_file) > 1):
        raise AdsManagerFileError(
            f"which account is the file of? Give --account, one of {_named(chosen) or 'none yet'}"
        )
    return chosen[0]


def compare(
    database: Database, export: Export, account: Account, tolerance: Decimal
) -> Verification:
    """Compare ``export`` with the marts of ``account``; ``tolerance`` is a share (0.05 is 5 %).

    Raises ``AdsManagerFileError`` when the file is in another currency or of another account, and
    ``DatabaseError`` when there are no marts yet.
    """
    _check_currency(export, account)
    rows = [
        row
        for row in export.rows
        if row.names.get("account_id", "").removeprefix("act_") in ("", account.account_id)
    ]
    fields, notes = _identity(export, rows)
    start, end = min(row.start for row in rows), max(row.end for row in rows)
    ours = _our_rows(database, export.level, account.account_id, start, end)
    labels: dict[Key, tuple[str | None, str | None]] = {}
    ids_of: dict[Key, set[str]] = defaultdict(set)
    file_cells: _Cells = {}
    repeated: Counter[tuple[Key, Period]] = Counter()
    for row in rows:
        key, period = _key(fields, row.names), (row.start, row.end)
        labels.setdefault(key, _label(export.level, row.names))
        repeated[key, period] += 1
        _add(file_cells, (key, period), row.values, export.measures)
    periods = _periods_by_date(file_cells, start, end, by_day=all(r.start == r.end for r in rows))
    our_cells: _Cells = {}
    for our_row in ours:
        key = _key(fields, our_row)
        our_id, our_name = _label(export.level, our_row)
        labels[key] = (our_id, labels.get(key, (None, our_name))[1] or our_name)
        ids_of[key].add(our_id or "")
        for period in periods[our_row["event_date"]]:
            _add(our_cells, (key, period), our_row, export.measures)
    many = {key for key, ids in ids_of.items() if len(ids) > 1}
    labels.update({key: (None, labels[key][1]) for key in many})
    result = Verification(
        account_id=account.account_id,
        currency=account.currency,
        level=export.level,
        by_day=all(row.start == row.end for row in rows),
        matched_by=tuple(fields),
        start=start,
        end=end,
        tolerance=tolerance,
        measures=export.measures,
        compared=0,
        equal=0,
        totals={
            measure: _total(file_cells, our_cells, measure) for measure in export.measures
        },
        differences=(),
        only_in_file=_only(file_cells, our_cells, labels),
        only_in_marts=_only(our_cells, file_cells, labels),
        bad_lines=export.bad_lines,
        notes=(
            *notes,
            *_notes_on_names(many, ids_of, labels, repeated),
            *_notes_on_file(export, account, rows),
            *_notes_on_sync(database, account, start, end),
        ),
    )
    return _with_differences(result, file_cells, our_cells, labels)


def _with_differences(
    result: Verification,
    file_cells: _Cells,
    our_cells: _Cells,
    labels: Mapping[Key, tuple[str | None, str | None]],
) -> Verification:
    compared, differences = 0, []
    for key, period in sorted({**our_cells, **file_cells}, key=lambda cell: (cell[1], cell[0])):
        theirs, ours = file_cells.get((key, period)), our_cells.get((key, period))
        if not _active(theirs) and not _active(ours):
            continue
        only_in = "marts" if theirs is None else "file" if ours is None else None
        for measure in result.measures:
            compared += 1
            file_value, our_value = (theirs or {}).get(measure), (ours or {}).get(measure)
            difference = (our_value or Decimal(0)) - (file_value or Decimal(0))
            if abs(difference) <= (CENT if measure in AMOUNTS else 0):
                continue
            relative = abs(difference / file_value) if file_value else None
            differences.append(
                Difference(
                    *labels[key],
                    *period,
                    measure,
                    file_value,
                    our_value,
                    difference,
                    relative,
                    within_tolerance=relative is not None and relative <= result.tolerance,
                    only_in=only_in,
                )
            )
    return replace(
        result,
        compared=compared,
        equal=compared - len(differences),
        differences=tuple(differences),
    )


def _check_currency(export: Export, account: Account) -> None:
    if export.currency not in (None, account.currency):
        heading = export.columns.get("spend") or export.columns.get("revenue") or "currency"
        raise AdsManagerFileError(
            f"column {heading!r}: the file is in {export.currency}, account {account.account_id} "
            f"is in {account.currency}. Nothing is converted: export that account in its own "
            "currency, or name the right one with --account"
        )


def _identity(export: Export, rows: Sequence[ExportRow]) -> tuple[list[str], list[str]]:
    """The columns that tell objects apart, and notes: the id, else names with those above."""
    level, notes = export.level, []
    if level == "account":
        return [], []
    parents = LEVELS[1 : LEVELS.index(level)]
    unusable = next((row for row in rows if not _is_id(row.names.get(f"{level}_id", ""))), None)
    if unusable is None:
        return [f"{level}_id"], []
    if f"{level}_id" in export.columns:
        notes.append(
            f"matched by name: line {unusable.line}, column {export.columns[f'{level}_id']!r} is "
            f"{unusable.names[f'{level}_id']!r}, no id (a spreadsheet rounds them: compare the "
            "export as downloaded)"
        )
    named = [row for row in rows if row.names.get(f"{level}_name")]
    if len(named) < len(rows):
        raise AdsManagerFileError(
            f"nothing to match by: expected the column of the {level}'s id, or of its name, to be "
            f"filled in every line; line {unusable.line} has neither"
        )
    fields = []
    for parent in parents:
        if all(_is_id(row.names.get(f"{parent}_id", "")) for row in rows):
            fields.append(f"{parent}_id")
        elif all(row.names.get(f"{parent}_name") for row in rows):
            fields.append(f"{parent}_name")
    return [*fields, f"{level}_name"], notes


def _our_rows(
    database: Database, level: str, account_id: str, start: date, end: date
) -> list[dict[str, Any]]:
    levels = LEVELS[1 : LEVELS.index(level) + 1]
    columns = " ".join(_SOURCES[each][0] for each in levels)
    joins = " ".join(_SOURCES[each][1] for each in levels)
    query = f"""
        select {columns} daily.event_date, daily.spend, daily.impressions, daily.clicks,
            daily.link_clicks, daily.purchases, daily.revenue, daily.leads
        from marts.{level}_daily as daily {joins}
        where daily.provider = 'meta' and daily.account_id = %s
            and daily.event_date between %s and %s"""
    try:
        with database.connect() as connection:
            return connection.execute(query.encode(), [account_id, start, end]).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise DatabaseError(
            f"there is nothing to compare with yet ({error.diag.message_primary}): run "
            f"meta-ads sync --start {start} --end {end} first"
        ) from error

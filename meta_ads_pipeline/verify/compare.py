"""Compare an Ads Manager export with the daily marts: what differs, where and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.control.accounts import Account, active_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.verify.export_file import (
    AdsManagerFileError,
    BadLine,
    Export,
    ExportRow,
)
from meta_ads_pipeline.verify.headings import AMOUNTS
from meta_ads_pipeline.verify.match import (
    Cells,
    Key,
    Matched,
    Period,
    active,
    match,
    plain_name,
)

CENT = Decimal("0.01")
"""Amounts this close are equal: Ads Manager rounds what it shows."""


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
    in_file = {_account_id(row) for row in export.rows} - {""}
    known = active_accounts(database, only=[asked] if asked else ())
    column, of_file = export.columns.get("account_id"), ", ".join(sorted(in_file))
    if asked is None and in_file:
        chosen = [account for account in known if account.account_id in in_file]
        if not chosen:
            raise AdsManagerFileError(
                f"column {column!r} says {of_file}, which is not synced here; synced: "
                f"{_named(known) or 'none yet'}"
            )
    elif asked is None:
        titles = {plain_name(row.names.get("account_name", "")) for row in export.rows} - {""}
        chosen = [account for account in known if plain_name(account.name or "") in titles] or known
    else:
        chosen = known
        if in_file and asked not in in_file:
            raise AdsManagerFileError(f"column {column!r} says {of_file}, but --account is {asked}")
    if len(chosen) != 1 or (asked is None and len(in_file) > 1):
        raise AdsManagerFileError(
            f"which account is the file of? Give --account, one of {_named(chosen) or 'none yet'}"
        )
    return chosen[0]


def compare(
    database: Database, export: Export, account: Account, tolerance: Decimal
) -> Verification:
    """Compare ``export`` with the marts of ``account``; ``tolerance`` is a share (0.05 is 5 %).

    Raises ``AdsManagerFileError`` when the file is in another currency or nothing in it tells
    objects apart, and ``DatabaseError`` when there are no marts yet.
    """
    _check_currency(export, account)
    rows = [row for row in export.rows if _account_id(row) in ("", account.account_id)]
    matched = match(database, export, rows, account.account_id)
    cells = [
        cell
        for cell in {**matched.file, **matched.marts}
        if active(matched.file.get(cell)) or active(matched.marts.get(cell))
    ]
    differences = [
        difference
        for cell in sorted(cells, key=lambda cell: (cell[1], cell[0]))
        for difference in _differences(matched, cell, export.measures, tolerance)
    ]
    compared = len(cells) * len(export.measures)
    only_in_file = _only(matched.file, matched.marts, matched)
    only_in_marts = _only(matched.marts, matched.file, matched)
    notes = [*matched.notes, *_notes_on_file(export, account, rows)]
    if only_in_file and only_in_marts and any(name.endswith("_name") for name in matched.fields):
        notes.append("matched by name: export with the id column if something was renamed since")
    return Verification(
        account_id=account.account_id,
        currency=account.currency,
        level=export.level,
        by_day=matched.by_day,
        matched_by=matched.fields,
        start=matched.start,
        end=matched.end,
        tolerance=tolerance,
        measures=export.measures,
        compared=compared,
        equal=compared - len(differences),
        totals={measure: _total(matched, measure) for measure in export.measures},
        differences=tuple(differences),
        only_in_file=only_in_file,
        only_in_marts=only_in_marts,
        bad_lines=export.bad_lines,
        notes=(*notes, *_notes_on_sync(database, account, matched)),
    )


def _differences(
    matched: Matched, cell: tuple[Key, Period], measures: Sequence[str], tolerance: Decimal
) -> Iterator[Difference]:
    in_file, in_marts = matched.file.get(cell), matched.marts.get(cell)
    object_id, object_name = matched.labels[cell[0]]
    only_in = "marts" if in_file is None else "file" if in_marts is None else None
    for measure in measures:
        file_value, our_value = (in_file or {}).get(measure), (in_marts or {}).get(measure)
        difference, relative = _gap(file_value, our_value)
        if abs(difference) <= (CENT if measure in AMOUNTS else 0):
            continue
        yield Difference(
            object_id=object_id,
            object_name=object_name,
            start=cell[1][0],
            end=cell[1][1],
            measure=measure,
            file_value=file_value,
            our_value=our_value,
            difference=difference,
            relative=relative,
            # Something against nothing is no matter of percent.
            within_tolerance=bool(our_value) and relative is not None and relative <= tolerance,
            only_in=only_in,
        )


def _gap(file_value: Decimal | None, our_value: Decimal | None) -> tuple[Decimal, Decimal | None]:
    """Ours minus the file's, and its size as a share of the file's; an absent value counts as 0."""
    difference = Decimal(our_value or 0) - Decimal(file_value or 0)
    return difference, abs(difference / file_value) if file_value else None


def _total(matched: Matched, measure: str) -> MeasureTotal:
    in_file = sum((values[measure] or Decimal(0) for values in matched.file.values()), Decimal(0))
    in_marts = sum((values[measure] or Decimal(0) for values in matched.marts.values()), Decimal(0))
    return MeasureTotal(in_file, in_marts, *_gap(in_file, in_marts))


def _only(here: Cells, there: Cells, matched: Matched) -> tuple[str, ...]:
    """The objects with activity here and no row at all there."""
    elsewhere = {key for key, _ in there}
    keys = {key for (key, _), values in here.items() if key not in elsewhere and active(values)}
    return tuple(sorted(described(*matched.labels[key]) for key in keys))


def described(object_id: str | None, object_name: str | None) -> str:
    """An object in words: its name with its id, whichever there are."""
    if object_name and object_id:
        return f"{object_name} ({object_id})"
    return object_name or object_id or "the account"


def _check_currency(export: Export, account: Account) -> None:
    if export.currency not in (None, account.currency):
        heading = export.columns.get("spend") or export.columns.get("revenue") or "currency"
        raise AdsManagerFileError(
            f"column {heading!r}: the file is in {export.currency}, account {account.account_id} "
            f"is in {account.currency}. Nothing is converted: export that account in its own "
            "currency, or name the right one with --account"
        )


def _account_id(row: ExportRow) -> str:
    return row.names.get("account_id", "").removeprefix("act_")


def _named(accounts: Sequence[Account]) -> str:
    return ", ".join(described(account.account_id, account.name) for account in accounts)


def _notes_on_file(export: Export, account: Account, rows: Sequence[ExportRow]) -> Iterator[str]:
    if export.currency is None and AMOUNTS & set(export.measures):
        yield f"the file names no currency: taken to be in {account.currency}"
    titles = {row.names.get("account_name", "") for row in rows} - {""}
    if account.name and titles and plain_name(account.name) not in map(plain_name, titles):
        yield f"the file is of {', '.join(sorted(titles))}; the account is now {account.name}"
    if len(rows) < len(export.rows):
        yield f"{len(export.rows) - len(rows)} lines of other accounts left out"
    if "results" in export.columns:
        yield (
            f"{export.columns['results']!r} is not compared: it counts something else per ad set; "
            "export purchases or leads"
        )
    if export.not_compared:
        yield f"columns not compared: {', '.join(export.not_compared)}"
    if export.totals is not None and not export.bad_lines and len(rows) == len(export.rows):
        yield from _notes_on_totals(export)


def _notes_on_totals(export: Export) -> Iterator[str]:
    """Whether the file's own total is what its lines sum to; if not, lines are missing in it."""
    for measure, total in (export.totals or {}).items():
        if total is None:
            continue
        summed = sum((row.values[measure] or Decimal(0) for row in export.rows), Decimal(0))
        rounding = CENT * len(export.rows) if measure in AMOUNTS else Decimal(0)
        if abs(total - summed) > rounding:
            yield (
                f"the file's own total of {export.columns[measure]!r} is {total}, its lines sum to "
                f"{summed}: it was filtered or cut"
            )


def _notes_on_sync(database: Database, account: Account, matched: Matched) -> Iterator[str]:
    with database.connect() as connection:
        row = connection.execute(
            "select count(*) as days, min(day)::date as first, max(day)::date as last"
            " from generate_series(%s::date, %s::date, interval '1 day') as day"
            " where not exists (select from control.slices as s where s.account_id = %s"
            "   and s.asset = 'insights_daily' and s.status = 'done'"
            "   and s.partition_date = day::date)",
            [matched.start, matched.end, account.account_id],
        ).fetchone()
    if row and row["days"]:
        yield (
            f"{row['days']} days are not synced: meta-ads sync --start {row['first']} "
            f"--end {row['last']} --account {account.account_id}"
        )

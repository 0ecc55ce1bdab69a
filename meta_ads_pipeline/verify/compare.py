"""Compare an Ads Manager export with the daily marts: what differs, where and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.control.accounts import Account, active_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.verify.export import (
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
    with_known_names,
)
from meta_ads_pipeline.verify.totals import CENT, rounding, summed


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
    hour: int | None
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
    """What the comparison found. Amounts are in major units of ``currency``, dates local.

    ``lines_summed`` is how many lines were not compared by themselves, but in sum with others.
    """

    account_id: str
    currency: str
    level: str
    by_day: bool
    by_hour: bool
    matched_by: tuple[str, ...]
    start: date
    end: date
    tolerance: Decimal
    measures: tuple[str, ...]
    lines_summed: int
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
        """Something was compared, every line was read, nothing is beyond the tolerance."""
        return bool(self.compared) and not self.beyond and not self.bad_lines

    def as_json(self) -> dict[str, Any]:
        """The whole result; numbers are exact decimals for ``json.dumps(..., default=str)``."""
        return {
            "aligned": self.aligned,
            "within_tolerance": len(self.differences) - len(self.beyond),
            "beyond_tolerance": len(self.beyond),
            **asdict(self),
        }


@dataclass(frozen=True)
class Accounts:
    """The accounts that a file is of, and how the file names those that are not synced here."""

    synced: tuple[Account, ...]
    not_synced: tuple[str, ...] = ()


def accounts_of(database: Database, export: Export, asked: str | None) -> Accounts:
    """``asked`` (without ``act_``), else the accounts that the file names, else the only one, or
    the only one in the file's currency.

    Raises ``AdsManagerFileError`` when that leaves a choice or contradicts the file, and
    ``UnknownAccountError`` when ``asked`` was never synced.
    """
    ids = {_account_id(row) for row in export.rows} - {""}
    known = active_accounts(database, only=[asked] if asked else ())
    column = export.columns.get("account_id")
    if asked is not None:
        if ids and asked not in ids:
            of_file = ", ".join(sorted(ids))
            raise AdsManagerFileError(f"column {column!r} says {of_file}, but --account is {asked}")
        return Accounts(tuple(known))
    if ids:
        synced = tuple(account for account in known if account.account_id in ids)
        missing = tuple(sorted(ids - {account.account_id for account in synced}))
        if not synced:
            raise AdsManagerFileError(
                f"column {column!r} says {', '.join(missing)}, which is not synced here; synced: "
                f"{_named(known) or 'none yet'}"
            )
        return Accounts(synced, missing)
    titles = {plain_name(_account_name(row)): _account_name(row) for row in export.rows}
    titles.pop("", None)
    by_title = {plain_name(account.name or ""): account for account in known}
    if len(by_title) == len(known) and by_title.keys() & titles.keys():
        return Accounts(
            tuple(by_title[title] for title in sorted(titles) if title in by_title),
            tuple(sorted(name for title, name in titles.items() if title not in by_title)),
        )
    if len(known) == 1 and len(titles) <= 1:
        return Accounts(tuple(known))
    currencies = {row.currency for row in export.rows}
    in_currency = tuple(account for account in known if {account.currency} == currencies)
    if len(in_currency) == 1 and not titles:
        return Accounts(in_currency)
    raise AdsManagerFileError(
        f"which account is the file of? Give --account, one of {_named(known) or 'none yet'}"
    )


def _lines_of(export: Export, account: Account) -> tuple[ExportRow, ...]:
    """The lines of an account: by its id, else by its name where several are named."""
    titles = {plain_name(_account_name(row)) for row in export.rows} - {""}
    own = plain_name(account.name or "")

    def is_own(row: ExportRow) -> bool:
        if account_id := _account_id(row):
            return account_id == account.account_id
        return len(titles) < 2 or plain_name(_account_name(row)) in ("", own)

    return tuple(row for row in export.rows if is_own(row))


def compare(
    database: Database, export: Export, account: Account, tolerance: Decimal
) -> Verification:
    """Compare ``export`` with the marts of ``account``; ``tolerance`` is a share (0.05 is 5 %).

    Raises ``AdsManagerFileError`` when the file is in another currency or nothing in it tells
    objects apart, and ``DatabaseError`` when there are no marts yet.
    """
    rows = _lines_of(export, account)
    lines_of_others = len(export.rows) - len(rows)
    export = with_known_names(database, replace(export, rows=rows), account.account_id)
    rows = export.rows
    _check_currency(export, account)
    matched = match(database, export, rows, account.account_id)
    measures = matched.measures
    cells = [
        cell
        for cell in {**matched.file, **matched.marts}
        if active(matched.file.get(cell)) or active(matched.marts.get(cell))
    ]
    differences = [
        difference
        for cell in sorted(
            cells, key=lambda cell: (cell[1].start, cell[1].end, cell[1].hour or 0, cell[0])
        )
        for difference in _differences(matched, cell, measures, tolerance)
    ]
    compared = len(cells) * len(measures)
    only_in_file = _only(matched.file, matched.marts, matched)
    only_in_marts = _only(matched.marts, matched.file, matched)
    notes = [*matched.notes, *_notes_on_file(export, account, lines_of_others)]
    if only_in_file and only_in_marts and any(name.endswith("_name") for name in matched.fields):
        notes.append("matched by name: export with the id column if something was renamed since")
    return Verification(
        account_id=account.account_id,
        currency=account.currency,
        level=export.level,
        by_day=matched.by_day,
        by_hour=matched.by_hour,
        matched_by=matched.fields,
        start=matched.start,
        end=matched.end,
        tolerance=tolerance,
        measures=measures,
        lines_summed=matched.repeated,
        compared=compared,
        equal=compared - len(differences),
        totals={measure: _total(matched, measure) for measure in measures},
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
            start=cell[1].start,
            end=cell[1].end,
            hour=cell[1].hour,
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
    named = {row.currency for row in export.rows if row.currency is not None}
    currencies = ", ".join(sorted(named - {account.currency}))
    if currencies:
        heading = export.columns.get("spend") or export.columns.get("revenue") or "currency"
        raise AdsManagerFileError(
            f"column {heading!r}: the file is in {currencies}, account "
            f"{account.account_id} is in {account.currency}. Nothing is converted: export that "
            "account in its own currency, or name the right one with --account"
        )


def _account_name(row: ExportRow) -> str:
    return row.names.get("account_name", "")


def _account_id(row: ExportRow) -> str:
    return row.names.get("account_id", "").removeprefix("act_")


def _named(accounts: Sequence[Account]) -> str:
    return ", ".join(described(account.account_id, account.name) for account in accounts)


def _notes_on_file(export: Export, account: Account, lines_of_others: int) -> Iterator[str]:
    yield from export.notes
    if AMOUNTS & set(export.measures) and any(row.currency is None for row in export.rows):
        yield f"the file names no currency: taken to be in {account.currency}"
    titles = {_account_name(row) for row in export.rows} - {""}
    if account.name and titles and plain_name(account.name) not in map(plain_name, titles):
        yield f"the file is of {', '.join(sorted(titles))}; the account is now {account.name}"
    if lines_of_others:
        yield f"{lines_of_others} lines are of other accounts"
    if "results" in export.columns:
        yield (
            f"{export.columns['results']!r} is not compared: it counts something else per ad set; "
            "export purchases or leads"
        )
    if export.not_compared:
        yield f"columns not compared: {', '.join(export.not_compared)}"
    if export.totals is not None and not export.bad_lines and not lines_of_others:
        yield from _notes_on_totals(export)


def _notes_on_totals(export: Export) -> Iterator[str]:
    """Whether the file's own total is what its lines sum to; if not, lines are missing in it."""
    for measure, total in (export.totals or {}).items():
        if total is None:
            continue
        lines = summed(export.rows, [measure])[measure]
        if abs(total - (lines or 0)) > rounding(measure, len(export.rows)):
            yield (
                f"the file's own total of {export.columns[measure]!r} is {total}, its lines sum to "
                f"{lines}: it was filtered or cut"
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

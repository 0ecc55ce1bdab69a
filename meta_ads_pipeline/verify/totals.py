"""Lines of an export that sum others: the total of a file, subtotals of a breakdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from meta_ads_pipeline.verify.export import ExportRow
from meta_ads_pipeline.verify.formats import says_total
from meta_ads_pipeline.verify.headings import AMOUNTS

CENT = Decimal("0.01")
"""Ads Manager rounds what it shows: sums may differ by so much a line."""

Sums = Mapping[str, Decimal | None]


def summed(rows: Sequence[ExportRow], measures: Sequence[str]) -> dict[str, Decimal | None]:
    """The sum of each measure; None where no row knows it."""
    sums: dict[str, Decimal | None] = dict.fromkeys(measures)
    for row in rows:
        for measure in measures:
            value = row.values[measure]
            if value is not None:
                sums[measure] = (sums[measure] or Decimal(0)) + value
    return sums


def rounding(measure: str, lines: int) -> Decimal:
    """By how much a shown total of so many lines may differ from their sum."""
    return CENT * lines if measure in AMOUNTS else Decimal(0)


def split_totals(
    rows: Sequence[ExportRow], measures: Sequence[str]
) -> tuple[list[ExportRow], Sums | None, list[tuple[ExportRow, str]]]:
    """The rows that are parts, the file's own total, and the rows that may be either.

    A total says nothing in the columns by which the other lines of its object and period are split,
    and is their sum. One that is more than their sum may be the total of a filtered export, or a
    large part without a name: it comes back with the headings of those columns.
    """
    groups: dict[tuple[object, ...], list[ExportRow]] = defaultdict(list)
    for row in rows:
        groups[(*sorted(row.names.items()), row.start, row.end, row.hour)].append(row)
    left_out: set[int] = set()
    unclear: list[tuple[ExportRow, str]] = []
    total: Sums | None = None
    for group in groups.values():
        splits = [name for name in group[0].others if len({row.others[name] for row in group}) > 1]
        blank = [row for row in group if all(says_total(row.others[name]) for name in splits)]
        lines_of_blank = {row.line for row in blank}
        parts = [row for row in group if row.line not in lines_of_blank]
        if len(blank) != 1 or not parts:
            continue
        of_parts = summed(parts, measures)
        if _equal(blank[0].values, of_parts, len(parts)):
            total = blank[0].values if len(groups) == 1 else None
        elif _at_least(blank[0].values, of_parts):
            unclear.append((blank[0], ", ".join(map(repr, splits))))
        else:
            continue
        left_out.add(blank[0].line)
    return [row for row in rows if row.line not in left_out], total, unclear


def _equal(total: Sums, parts: Sums, lines: int) -> bool:
    """Whether every measure that both know is the same, and there is one."""
    both = {
        name: (ours, theirs)
        for name, ours in total.items()
        if ours is not None and (theirs := parts[name]) is not None
    }
    return bool(both) and all(
        abs(ours - theirs) <= rounding(name, lines) for name, (ours, theirs) in both.items()
    )


def _at_least(total: Sums, parts: Sums) -> bool:
    zero = Decimal(0)
    return all((value or zero) >= (parts[name] or zero) for name, value in total.items())

"""Bring an export and the marts to the same cells: object and period, with their measures."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import psycopg

from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.verify.export import (
    LEVELS,
    AdsManagerFileError,
    Export,
    ExportRow,
)
from meta_ads_pipeline.verify.headings import CONVERSIONS

Key: TypeAlias = tuple[str, ...]


class Period(NamedTuple):
    """First and last date, account-local; in a file by hour also the hour."""

    start: date
    end: date
    hour: int | None = None


Values: TypeAlias = dict[str, Decimal | None]
Cells: TypeAlias = dict[tuple[Key, Period], Values]

_ID = re.compile(r"(?:[a-z]{1,3}:)?(\d+)")  # bulk exports write c:123, as:123, a:123

_SOURCES = {
    "campaign": (
        "rows.campaign_id, campaigns.name as campaign_name,",
        "left join marts.dim_campaigns as campaigns on rows.campaign_id = campaigns.campaign_id",
    ),
    "adset": (
        "rows.adset_id, adsets.name as adset_name,",
        "left join marts.dim_adsets as adsets on rows.adset_id = adsets.adset_id",
    ),
    "ad": (
        "rows.ad_id, ads.name as ad_name,",
        "left join marts.dim_ads as ads on rows.ad_id = ads.ad_id",
    ),
}


@dataclass
class Matched:
    """Both sides by object and period, in the ``measures`` that can be compared.

    ``labels`` gives the id (None where several) and name, ``repeated`` how many lines of the file
    were summed because they name an object and period that another line names, too.
    """

    fields: tuple[str, ...]
    start: date
    end: date
    by_day: bool
    measures: tuple[str, ...]
    by_hour: bool = False
    repeated: int = 0
    file: Cells = field(default_factory=dict)
    marts: Cells = field(default_factory=dict)
    labels: dict[Key, tuple[str | None, str | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def match(
    database: Database, export: Export, rows: Sequence[ExportRow], account_id: str
) -> Matched:
    """Sum the ``rows`` of the export and the rows of the marts over the same objects and periods.

    Raises ``AdsManagerFileError`` when nothing in the file tells objects apart, and
    ``DatabaseError`` when there are no marts yet.
    """
    fields, notes = _identity(export, rows)
    matched = Matched(
        fields=fields,
        start=min(row.start for row in rows),
        end=max(row.end for row in rows),
        by_day=all(row.start == row.end for row in rows),
        by_hour=any(row.hour is not None for row in rows),
        measures=export.measures,
        notes=notes,
    )
    matched.repeated = _add_file(matched, export, rows)
    matched.measures = tuple(_comparable(matched, export, rows))
    ids_of = _add_marts(matched, database, export, account_id)
    ambiguous = sorted(key for key, ids in ids_of.items() if len(ids) > 1)
    for key in ambiguous:
        matched.labels[key] = (None, matched.labels[key][1])
        matched.notes.append(
            f"{len(ids_of[key])} {export.level}s are named {matched.labels[key][1]!r}: summed by "
            "name on both sides"
        )
    if matched.repeated:
        split_by = sorted({name for row in rows for name, cell in row.others.items() if cell})
        split = f" (split by {', '.join(map(repr, split_by))})" if split_by else ""
        matched.notes.append(
            f"{matched.repeated} lines repeat an object and period{split}: compared in sum, not "
            "line by line"
        )
    return matched


def _comparable(matched: Matched, export: Export, rows: Sequence[ExportRow]) -> Iterator[str]:
    """The measures that both sides can have; the others are noted."""
    withheld = []
    for measure in export.measures:
        empty = all(row.values[measure] is None for row in rows)
        if measure in CONVERSIONS and (matched.by_hour or (matched.repeated and empty)):
            withheld.append(export.columns[measure])
        else:
            yield measure
    if withheld:
        why = (
            "Meta has no conversions by hour"
            if matched.by_hour
            else (
                "the file has none in any line, and Meta withholds conversions in many breakdowns"
            )
        )
        matched.notes.append(f"not compared: {', '.join(map(repr, withheld))} ({why})")


def active(values: Mapping[str, Decimal | None] | None) -> bool:
    """Whether any measure is neither absent nor 0."""
    return values is not None and any(values.values())


def plain_name(text: str) -> str:
    """A name for comparing: Unicode composed, spaces of any kind single."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _add_file(matched: Matched, export: Export, rows: Sequence[ExportRow]) -> int:
    """Sum the file's rows; return how many of them repeat an object and period."""
    seen: Counter[tuple[Key, Period]] = Counter()
    for row in rows:
        cell = (_key(matched.fields, row.names), Period(row.start, row.end, row.hour))
        matched.labels.setdefault(cell[0], _label(export.level, row.names))
        seen[cell] += 1
        _add(matched.file, cell, row.values, export.measures)
    return sum(count - 1 for count in seen.values())


def _add_marts(
    matched: Matched, database: Database, export: Export, account_id: str
) -> dict[Key, set[str]]:
    """Sum the marts' rows; return the ids that each key stands for."""
    ids_of: dict[Key, set[str]] = defaultdict(set)
    periods = _periods_by_date(matched)
    for row in _mart_rows(database, export.level, account_id, matched):
        key = _key(matched.fields, row)
        own_id, own_name = _label(export.level, row)
        label = matched.labels.get(key, (None, None))
        matched.labels[key] = (own_id or label[0], label[1] or own_name)
        ids_of[key].add(own_id or "")
        for start, end in periods[row["event_date"]]:
            cell = (key, Period(start, end, row.get("event_hour")))
            _add(matched.marts, cell, row, matched.measures)
    return ids_of


def _periods_by_date(matched: Matched) -> dict[date, set[tuple[date, date]]]:
    """The periods of the file that each date is in; in a file by day also days without a line."""
    periods = {(period.start, period.end) for _, period in matched.file}
    days = (matched.end - matched.start).days + 1
    by_date: dict[date, set[tuple[date, date]]] = defaultdict(set)
    for day in (matched.start + timedelta(days=number) for number in range(days)):
        if matched.by_day:
            by_date[day] = {(day, day)}
        else:
            by_date[day] = {period for period in periods if period[0] <= day <= period[1]}
    return by_date


def _identity(export: Export, rows: Sequence[ExportRow]) -> tuple[tuple[str, ...], list[str]]:
    """The columns that tell objects apart: the id, else the names from the top; and notes."""
    level = export.level
    if level == "account":
        return (), []
    own_id, own_name = f"{level}_id", f"{level}_name"
    without_id = next((row for row in rows if not _all_ids([row], own_id)), None)
    if without_id is None:
        return (own_id,), []
    unnamed = next((row for row in rows if not row.names.get(own_name)), None)
    if unnamed is not None:
        raise AdsManagerFileError(
            f"line {unnamed.line} cannot be matched: expected the {level}'s id or name in every "
            f"line (columns {export.columns.get(own_id, 'of ids')!r}, "
            f"{export.columns.get(own_name, 'of names')!r}); ids like 1.2E+17 were rounded by a "
            "spreadsheet, compare the export as downloaded"
        )
    notes = []
    if own_id in export.columns:
        notes.append(
            f"matched by name: {without_id.names[own_id]!r} (line {without_id.line}, column "
            f"{export.columns[own_id]!r}) is no id; spreadsheets round them, compare the export "
            "as downloaded"
        )
    fields = [own_name]
    for parent in reversed(LEVELS[1 : LEVELS.index(level)]):
        if _all_ids(rows, f"{parent}_id"):
            fields.insert(0, f"{parent}_id")
        elif all(row.names.get(f"{parent}_name") for row in rows):
            fields.insert(0, f"{parent}_name")
    return tuple(fields), notes


def _all_ids(rows: Iterable[ExportRow], name: str) -> bool:
    return all(_ID.fullmatch(row.names.get(name, "")) for row in rows)


def _key(fields: Sequence[str], names: Mapping[str, Any]) -> Key:
    return tuple(
        _ID.sub(r"\1", names[name]) if name.endswith("_id") else plain_name(names[name] or "")
        for name in fields
    )


def _label(level: str, names: Mapping[str, Any]) -> tuple[str | None, str | None]:
    return names.get(f"{level}_id") or None, names.get(f"{level}_name") or None


def _add(
    cells: Cells,
    cell: tuple[Key, Period],
    values: Mapping[str, Any],
    measures: Sequence[str],
) -> None:
    """Add to a cell; a measure stays None until some row knows it."""
    summed = cells.setdefault(cell, dict.fromkeys(measures))
    for measure in measures:
        value = values[measure]
        if value is not None:
            summed[measure] = (summed[measure] or Decimal(0)) + value


def _mart_rows(
    database: Database, level: str, account_id: str, matched: Matched
) -> list[dict[str, Any]]:
    """The marts' rows of the file's dates: by day, or by hour where the file is."""
    levels = LEVELS[1 : LEVELS.index(level) + 1]
    columns = " ".join(_SOURCES[each][0] for each in levels)
    joins = " ".join(_SOURCES[each][1] for each in levels)
    if matched.by_hour:
        # Facts are by ad and hour: every level's hours are among them.
        source = "(select * from marts.metric_facts where grain = 'hour')"
        columns += " rows.event_hour,"
    else:
        source = f"marts.{level}_daily"
    query = f"""
        select {columns} rows.event_date, rows.spend, rows.impressions, rows.clicks,
            rows.link_clicks, rows.purchases, rows.revenue, rows.leads
        from {source} as rows {joins}
        where rows.provider = 'meta' and rows.account_id = %s
            and rows.event_date between %s and %s"""
    try:
        with database.connect() as connection:
            return connection.execute(
                query.encode(), [account_id, matched.start, matched.end]
            ).fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise DatabaseError(
            f"there is nothing to compare with yet ({error.diag.message_primary}): run "
            f"meta-ads sync --start {matched.start} --end {matched.end} first"
        ) from error


def with_known_names(database: Database, export: Export, account_id: str) -> Export:
    """The export with unknown columns taken for what their texts say: names or ids of objects.

    A report may call the column of names anything; when at least half of its texts are names of
    the account's ads, that is what they are, and lines are compared one by one.
    """
    notes = []
    for level in reversed(LEVELS[1:]):
        if any(f"{level}_{kind}" in export.columns for kind in ("id", "name")):
            continue
        known = _names_of(database, level, account_id)
        for heading in export.rows[0].others:
            texts = {row.others[heading] for row in export.rows} - {""}
            for kind in ("id", "name"):
                found = sum(plain_name(text) in known[kind] for text in texts)
                if len(texts) > 1 and found * 2 >= len(texts):
                    export = _renamed(export, heading, f"{level}_{kind}")
                    notes.append(f"column {heading!r} has the {level}s' {kind}s")
                    break
            else:
                continue
            break
    return replace(export, notes=(*export.notes, *notes))


def _renamed(export: Export, heading: str, name: str) -> Export:
    level = name.rpartition("_")[0]
    return replace(
        export,
        level=max(export.level, level, key=LEVELS.index),
        columns={**export.columns, name: heading},
        rows=tuple(
            replace(
                row,
                names={**row.names, name: row.others[heading]},
                others={key: text for key, text in row.others.items() if key != heading},
            )
            for row in export.rows
        ),
        not_compared=tuple(each for each in export.not_compared if each != heading),
    )


def _names_of(database: Database, level: str, account_id: str) -> dict[str, set[str]]:
    """The ids and names of an account's objects; none before the first build."""
    query = f"select {level}_id as id, name from marts.dim_{level}s where account_id = %s"
    with database.connect() as connection:
        try:
            rows = connection.execute(query.encode(), [account_id]).fetchall()
        except psycopg.errors.UndefinedTable:
            return {"id": set(), "name": set()}
    return {
        "id": {row["id"] for row in rows},
        "name": {plain_name(row["name"] or "") for row in rows} - {""},
    }

"""What Pandera found wrong, counted by rule and by day, over any number of chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

MAX_CASES = 20
"""Examples shown with a failed check; the counts beside them are complete."""

_UNIQUENESS = "multiple_fields_uniqueness"
_PHRASES = {
    "greater_than_or_equal_to(0)": "is not negative",
    "not_nullable": "is present",
}


@dataclass
class Violations:
    """Rows that break rules. A row that breaks two rules counts for both."""

    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    cases: list[dict[str, Any]] = field(default_factory=list)

    def add(self, model: type[pa.DataFrameModel], frame: pd.DataFrame, key: Sequence[str]) -> None:
        """Validate ``frame`` and add what it breaks; ``key`` are the columns that name a row."""
        self.rows += len(frame)
        schema = model.to_schema()
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            failures = errors.failure_cases
        else:
            return
        bad_rows: set[Any] = set()
        for (column, check), group in failures.groupby(["column", "check"], dropna=False):
            if check == _UNIQUENESS and column != (schema.unique or [column])[0]:
                continue  # Pandera repeats the rows for each column of the key
            rule, is_warning = _rule(schema, str(column), str(check))
            rows = group.drop_duplicates("index")
            # Without an index it is the frame itself: a column missing or of another type.
            counter = self.warnings if is_warning else self.errors
            counter[rule] += len(rows)
            bad_rows.update(rows["index"].dropna())
            for failure in rows.head(MAX_CASES - len(self.cases)).to_dict("records"):
                self.cases.append(_case(frame, failure, key, rule))
        if "event_date" in frame.columns and bad_rows:
            self.days.update(frame.loc[list(bad_rows), "event_date"].astype(str))

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.errors and not self.warnings

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """WARN when only warnings are broken."""
        return (
            dg.AssetCheckSeverity.WARN
            if self.warnings and not self.errors
            else dg.AssetCheckSeverity.ERROR
        )

    def description(self, what: str = "rows") -> str:
        """The outcome in a sentence; ``what`` says what the rows are."""
        broken = (self.errors + self.warnings).most_common()
        if not broken:
            return f"no rule is broken by {self.rows} {what}"
        rules = "; ".join(f"not so: {rule} ({n})" for rule, n in broken[:3])
        more = f"; {len(broken) - 3} more rules" if len(broken) > 3 else ""
        return f"of {self.rows} {what}: {rules}{more}"

    def metadata(self) -> dict[str, Any]:
        """Rows checked; for a failure also counts by rule, examples and bad days."""
        metadata: dict[str, Any] = {"rows_checked": self.rows}
        if self.passed:
            return metadata
        broken = [(rule, "error", n) for rule, n in self.errors.most_common()]
        broken += [(rule, "warning", n) for rule, n in self.warnings.most_common()]
        metadata["rows_by_rule"] = markdown_table(
            [{"rule": rule, "level": level, "rows": n} for rule, level, n in broken]
        )
        metadata["examples"] = markdown_table(self.cases)
        if self.days:
            metadata["bad_days"] = day_ranges(map(date.fromisoformat, self.days))
        return metadata


def _rule(schema: pa.DataFrameSchema, column: str, check: str) -> tuple[str, bool]:
    if check == _UNIQUENESS:
        return f"one row per {', '.join(schema.unique)}", False
    known = schema.columns.get(column)
    if known is None:
        return f"{column}: {check}", False
    is_warning = bool((known.metadata or {}).get("warning"))
    if known.description and check != "not_nullable":
        return known.description, is_warning
    return f"{column} {_PHRASES.get(check, check)}", is_warning


def _case(
    frame: pd.DataFrame, failure: Mapping[Any, Any], key: Sequence[str], rule: str
) -> dict[str, Any]:
    place = failure["index"]
    row = {} if place is None or pd.isna(place) else frame.loc[place, list(key)].to_dict()
    return {**row, "broken": rule, "value": failure["failure_case"]}


def markdown_table(rows: Iterable[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table; the columns are those of the first row."""
    listed = list(rows)
    header = list(listed[0]) if listed else []
    lines = ["| " + " | ".join(header) + " |", "|" + "-|" * len(header)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in header) + " |" for row in listed]
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return str(value).replace("|", "\\|").replace("\n", " ")[:300]


def day_ranges(days: Iterable[date], limit: int = 30) -> str:
    """Dates in words, consecutive ones as ``first..last``; at most ``limit`` ranges."""
    ordered = sorted(set(days))
    if not ordered:
        return "none"
    starts = [ordered[0]] + [b for a, b in pairwise(ordered) if (b - a).days > 1]
    ends = [a for a, b in pairwise(ordered) if (b - a).days > 1] + [ordered[-1]]
    ranges = [a.isoformat() if a == b else f"{a}..{b}" for a, b in zip(starts, ends, strict=True)]
    more = len(ranges) - limit
    return ", ".join(ranges[:limit]) + (f" and {more} more" if more > 0 else "")

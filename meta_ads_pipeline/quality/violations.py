"""What Pandera found wrong, counted by rule, account and day, over any number of chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from meta_ads_pipeline.control.check_results import AccountDay, DayResult

MAX_CASES = 20
"""Examples shown with a failed check; the counts beside them are complete."""

_UNIQUENESS = "multiple_fields_uniqueness"
_PHRASES = {
    "greater_than_or_equal_to(0)": "is not negative",
    "not_nullable": "is present",
}


@dataclass(frozen=True)
class BrokenRule:
    """A rule in words, as it should be; which check it belongs to; whether Meta may break it."""

    text: str
    is_warning: bool = False
    check: str = "schema"


@dataclass
class Violations:
    """Rows that break rules. A row that breaks two rules counts for both."""

    rows: int = 0
    broken: dict[BrokenRule, Counter[AccountDay]] = field(default_factory=dict)
    examples: list[tuple[BrokenRule, dict[str, Any]]] = field(default_factory=list)

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
        for (column, check), group in failures.groupby(["column", "check"], dropna=False):
            if check == _UNIQUENESS and column != (schema.unique or [column])[0]:
                continue  # Pandera repeats the rows for each column of the key
            rule = _rule(schema, str(column), str(check))
            rows = group.drop_duplicates("index")
            self.broken.setdefault(rule, Counter()).update(_account_days(frame, rows["index"]))
            shown = sum(1 for known, _ in self.examples if known.check == rule.check)
            for failure in rows.head(max(0, MAX_CASES - shown)).to_dict("records"):
                self.examples.append((rule, _case(frame, failure, key, rule.text)))

    def of(self, check: str) -> Violations:
        """Those of one check's rules, over the same rows."""
        return Violations(
            self.rows,
            {rule: days for rule, days in self.broken.items() if rule.check == check},
            [(rule, case) for rule, case in self.examples if rule.check == check],
        )

    @property
    def errors(self) -> Counter[str]:
        """Rows by rule that is broken for certain."""
        return self._counted(is_warning=False)

    @property
    def warnings(self) -> Counter[str]:
        """Rows by rule that Meta may break."""
        return self._counted(is_warning=True)

    def _counted(self, *, is_warning: bool) -> Counter[str]:
        return Counter(
            {
                rule.text: days.total()
                for rule, days in self.broken.items()
                if rule.is_warning is is_warning
            }
        )

    @property
    def cases(self) -> list[dict[str, Any]]:
        """Examples of bad rows: what names them, the rule, the value."""
        return [case for _, case in self.examples]

    @property
    def days(self) -> set[date]:
        """The dates with a bad row."""
        return {day for days in self.broken.values() for _, day in days if day is not None}

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.broken

    @property
    def is_warning(self) -> bool:
        """Whether only rules are broken that Meta may break."""
        return not self.passed and not self.errors

    def description(self, what: str = "rows") -> str:
        """The outcome in a sentence; ``what`` says what the rows are."""
        broken = (self.errors + self.warnings).most_common()
        if not broken:
            return f"no rule is broken by {self.rows:,} {what}"
        first, *others = (f'{n:,} break the rule "{rule}"' for rule, n in broken[:3])
        more = f"; {len(broken) - 3} more rules are broken" if len(broken) > 3 else ""
        return f"of {self.rows:,} {what}, {'; '.join([first, *others])}{more}"

    def metadata(self) -> dict[str, Any]:
        """Rows checked; for a failure the bad days, counts by rule and examples come first."""
        metadata: dict[str, Any] = {}
        if self.days:
            metadata["bad_days"] = day_ranges(self.days)
        if not self.passed:
            metadata["broken_rules"] = table_of(
                {
                    "should be so": rule.text,
                    "found": "suspicious" if rule.is_warning else "wrong",
                    "rows": f"{days.total():,}",
                    "accounts": ", ".join(sorted({f"act_{account}" for account, _ in days})),
                    "dates": day_ranges((day for _, day in days if day), limit=5),
                }
                for rule, days in sorted(
                    self.broken.items(), key=lambda item: (item[0].is_warning, -item[1].total())
                )
            )
            metadata["examples"] = table_of(self.cases)
        return {**metadata, "rows_checked": self.rows}

    def day_results(self, looked_at: Iterable[AccountDay]) -> list[DayResult]:
        """One result for each account-day that was looked at, and for each with a bad row."""
        by_day: dict[AccountDay, list[tuple[BrokenRule, int]]] = {day: [] for day in looked_at}
        for rule, days in self.broken.items():
            for account_day, rows in days.items():
                by_day.setdefault(account_day, []).append((rule, rows))
        return [
            self._day_result(account_day, broken) if broken else DayResult(*account_day, "passed")
            for account_day, broken in by_day.items()
        ]

    def _day_result(
        self, account_day: AccountDay, broken: Sequence[tuple[BrokenRule, int]]
    ) -> DayResult:
        worst = sorted(broken, key=lambda item: (item[0].is_warning, -item[1]))
        account_id, day = account_day
        example = next(
            (
                case
                for rule, case in self.examples
                if rule == worst[0][0]
                and case.get("account_id") == account_id
                and (day is None or str(case.get("event_date")) == str(day))
            ),
            None,
        )
        return DayResult(
            *account_day,
            "warned" if worst[0][0].is_warning else "failed",
            violations=sum(rows for _, rows in broken),
            observed=None
            if example is None
            else ", ".join(
                f"{name} {value}"
                for name, value in example.items()
                if name not in _SAID_ALREADY and value is not None
            ),
            expected="; ".join(rule.text for rule, _ in worst),
            message="; ".join(f'{n:,} break the rule "{rule.text}"' for rule, n in worst),
        )


_SAID_ALREADY = ("account_id", "event_date", "broken")


def _rule(schema: pa.DataFrameSchema, column: str, check: str) -> BrokenRule:
    if check == _UNIQUENESS:
        return BrokenRule(f"one row per {', '.join(schema.unique)}", check="duplicates")
    known = schema.columns.get(column)
    if known is None:
        return BrokenRule(f"{column}: {check}")
    metadata = known.metadata or {}
    says_it = known.description and check != "not_nullable"
    return BrokenRule(
        known.description if says_it else f"{column} {_PHRASES.get(check, check)}",
        bool(metadata.get("warning")),
        metadata.get("check", "schema"),
    )


def _account_days(frame: pd.DataFrame, places: pd.Series[Any]) -> Counter[AccountDay]:
    """Bad rows by account and day; without a place it is the frame itself that is wrong."""
    known = list(places.dropna())
    if not known:
        return Counter({("", None): len(places)})
    bad = frame.loc[known]
    accounts = bad["account_id"].astype(str) if "account_id" in bad else [""] * len(bad)
    if "event_date" not in bad:
        return Counter((account, None) for account in accounts)
    days = {day: date.fromisoformat(str(day)) for day in bad["event_date"].unique()}
    return Counter(
        (account, days[day]) for account, day in zip(accounts, bad["event_date"], strict=True)
    )


def _case(
    frame: pd.DataFrame, failure: Mapping[Any, Any], key: Sequence[str], rule: str
) -> dict[str, Any]:
    place = failure["index"]
    row = {} if place is None or pd.isna(place) else frame.loc[place, list(key)].to_dict()
    value = failure["failure_case"]
    # A fact that is not true has no value of its own to show.
    return {**row, "broken": rule, "value": None if value in (False, "False") else value}


def table_of(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Rows as a table that Dagster shows on the page itself; Markdown would hide behind a link.

    The columns are those of the first row, without those that are empty in every row.
    """
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    if not cells:
        return dg.MetadataValue.text("none")
    filled = [name for name in cells[0] if any(row[name] for row in cells)]
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row[name] for name in filled}) for row in cells]
    )


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return (f"{value:,}" if isinstance(value, int | Decimal) else str(value))[:300]


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

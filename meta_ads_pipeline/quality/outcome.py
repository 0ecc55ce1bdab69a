"""What a check found: as Dagster's page shows it, and as the table of results keeps it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import dagster as dg

from meta_ads_pipeline.control.check_results import AccountDay, DayResult
from meta_ads_pipeline.quality.catalogue import Rule

MAX_CASES = 20
"""Findings shown with a failed check; the counts beside them are complete."""


@dataclass(frozen=True)
class Finding:
    """A rule that an account-day (or, without a date, an ad account) breaks.

    ``rule`` says how it should be. ``is_warning``: Meta may do so, nothing is broken for certain.
    ``violations`` counts rows or measures; ``observed``, ``expected`` and ``message`` are short
    texts for a person, ``shown`` the columns of a table for Dagster's page.
    """

    account_id: str
    event_date: date | None
    rule: str
    is_warning: bool
    violations: int
    observed: str | None = None
    expected: str | None = None
    message: str | None = None
    shown: Mapping[str, Any] | None = None

    @property
    def account_day(self) -> AccountDay:
        """What it is about."""
        return self.account_id, self.event_date

    @property
    def sentence(self) -> str:
        """What is wrong, in words."""
        return self.message or f'{self.violations:,} break the rule "{self.rule}"'

    @property
    def row(self) -> Mapping[str, Any]:
        """The finding as a row of a table."""
        return self.shown or {
            "account": f"act_{self.account_id}",
            "date": self.event_date,
            "should be so": self.rule,
            "found": "suspicious" if self.is_warning else "wrong",
            "rows": self.violations,
            "observed": self.observed,
        }


@dataclass(frozen=True)
class StillOpen:
    """A result of an earlier run that no run has made good since."""

    account_id: str
    event_date: date | None
    status: str
    message: str


@dataclass(frozen=True)
class CheckOutcome:
    """One check: what it found in its scope, and what earlier runs found that is still so."""

    looked_at: Sequence[AccountDay]
    findings: Sequence[Finding]
    still_open: Sequence[StillOpen] = ()
    expects_something: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing is open, in the scope or outside of it."""
        return not (self.findings or self.still_open or self.saw_nothing)

    @property
    def saw_nothing(self) -> bool:
        """Whether there was nothing to look at where there should have been."""
        return self.expects_something and not self.looked_at

    @property
    def is_warning(self) -> bool:
        """Whether everything found may be Meta's way: suspicious, not broken for certain."""
        return (
            not self.passed
            and not self.saw_nothing
            and all(finding.is_warning for finding in self.findings)
            and all(open_.status == "warned" for open_ in self.still_open)
        )

    @property
    def failed_here(self) -> list[AccountDay]:
        """The account-days of the scope that break a rule for certain."""
        return sorted(
            {finding.account_day for finding in self.findings if not finding.is_warning}, key=_place
        )

    @property
    def days(self) -> list[DayResult]:
        """One result for each account-day that was looked at, and for each with a finding."""
        by_day: dict[AccountDay, list[Finding]] = {day: [] for day in self.looked_at}
        for finding in self.findings:
            by_day.setdefault(finding.account_day, []).append(finding)
        return [_day_result(day, findings) for day, findings in by_day.items()]

    @property
    def description(self) -> str:
        """The outcome in a sentence: the first finding, and how many more there are."""
        if self.saw_nothing:
            return "no date of the run has begun for any active ad account"
        dated = any(day for _, day in self.looked_at)
        what = "account-days" if dated else "ad accounts"
        total = len(self.days)
        bad = sorted({finding.account_day for finding in self.findings}, key=_place)
        said = f"{total - len(bad)} of {total} {what} are as they should be"
        if self.findings:
            first = self.findings[0]
            place = f"act_{first.account_id}" + (f" on {first.event_date}" if dated else "")
            said += f"; {place}: {first.sentence}"
        if self.still_open:
            said += f"; {len(self.still_open)} more are open since earlier runs"
        return said

    def result(
        self, rule: Rule, dates: str, accounts: Sequence[str], key: dg.AssetCheckKey
    ) -> dg.AssetCheckResult:
        """As Dagster shows it: red, yellow, or green with a remark where it only informs."""
        metadata: dict[str, Any] = {}
        if not self.passed:
            metadata["what_to_do"] = rule.what_to_do
            metadata["consequence"] = _CONSEQUENCES[rule.severity]
        bad_days = {day for f in self.findings if (day := f.event_date) is not None}
        if bad_days:
            metadata["bad_days"] = day_ranges(bad_days)
        if self.findings:
            metadata["findings"] = table_of(f.row for f in self.findings[:MAX_CASES])
        if self.still_open:
            metadata["still_open"] = table_of(
                {
                    "account": f"act_{open_.account_id}",
                    "date": open_.event_date,
                    "found": open_.status,
                    "what": open_.message,
                }
                for open_ in self.still_open[:MAX_CASES]
            )
        metadata["looked_at"] = len(self.days)
        metadata[FAILED_HERE] = len(self.failed_here)
        metadata["dates"] = dates
        metadata["ad_accounts"] = ", ".join(accounts[:10]) + (
            f" and {len(accounts) - 10} more" if len(accounts) > 10 else ""
        )
        return dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=self.passed or rule.severity == "inform",
            severity=(
                dg.AssetCheckSeverity.WARN if self.is_warning else dg.AssetCheckSeverity.ERROR
            ),
            description=self.description,
            metadata=metadata,
        )


FAILED_HERE = "failed_in_this_run"
"""Metadata: account-days of the run's own scope that fail; the others are open since earlier."""


def only_open_elsewhere(metadata: Mapping[str, Any]) -> bool:
    """Whether an evaluation is red for nothing that its own run looked at."""
    here = metadata.get(FAILED_HERE)
    return "still_open" in metadata and here is not None and here.value == 0


_CONSEQUENCES = {
    "block": "Bad account-days stay out of the facts (their last good rows stay) until they pass.",
    "warn": "The facts are built as usual; an admin is alerted if it persists.",
    "inform": "None: for information only.",
}


def _place(account_day: AccountDay) -> tuple[str, date]:
    account_id, day = account_day
    return account_id, day or date.min


def _day_result(account_day: AccountDay, findings: Sequence[Finding]) -> DayResult:
    if not findings:
        return DayResult(*account_day, "passed")
    worst = sorted(findings, key=lambda finding: (finding.is_warning, -finding.violations))
    return DayResult(
        *account_day,
        "warned" if worst[0].is_warning else "failed",
        violations=sum(finding.violations for finding in findings),
        observed=worst[0].observed,
        expected="; ".join(dict.fromkeys(f.expected or f.rule for f in worst)),
        message="; ".join(finding.sentence for finding in worst),
    )


def table_of(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Rows as a table that Dagster shows on the page itself; Markdown would hide behind a link.

    The columns are those of the first row, without those that are empty in every row.
    """
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    if not cells:
        return dg.MetadataValue.text("none")
    filled = [name for name in cells[0] if any(row.get(name) for row in cells)]
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row.get(name, "") for name in filled}) for row in cells]
    )


def _cell(value: Any) -> str:
    if value is None:
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

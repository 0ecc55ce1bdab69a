"""What a check gives back: for Dagster's page, and for the table of results per account-day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from meta_ads_pipeline.control.check_results import AccountDay, DayResult
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.catalogue import Rule
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import Violations


@dataclass(frozen=True)
class CheckOutcome:
    """One check over its scope. ``is_warning``: suspicious, but nothing is broken for certain."""

    passed: bool
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    days: Sequence[DayResult] = ()
    is_warning: bool = False

    @classmethod
    def of(
        cls,
        violations: Violations,
        looked_at: Iterable[AccountDay],
        what: str = "rows",
        more: Mapping[str, Any] | None = None,
    ) -> CheckOutcome:
        """The outcome that a model's violations are; ``more`` metadata comes after theirs."""
        return cls(
            violations.passed,
            violations.description(what),
            {**violations.metadata(), **(more or {})},
            violations.day_results(looked_at),
            violations.is_warning,
        )

    def result(self, rule: Rule, scope: CheckScope) -> dg.AssetCheckResult:
        """As Dagster shows it: red, yellow, or green with a remark where it only informs."""
        metadata: dict[str, Any] = {}
        if not self.passed:
            metadata["what_to_do"] = rule.what_to_do
            metadata["consequence"] = _CONSEQUENCES[rule.severity]
        metadata |= self.metadata
        metadata["dates"] = f"{scope.window.start}..{scope.window.end}"
        metadata["ad_accounts"] = ", ".join(
            f"act_{a.account_id} ({a.name})" if a.name else f"act_{a.account_id}"
            for a in scope.accounts[:10]
        ) + (f" and {len(scope.accounts) - 10} more" if len(scope.accounts) > 10 else "")
        return dg.AssetCheckResult(
            passed=self.passed or rule.severity == "inform",
            severity=(
                dg.AssetCheckSeverity.WARN if self.is_warning else dg.AssetCheckSeverity.ERROR
            ),
            description=self.description,
            metadata=metadata,
        )


_CONSEQUENCES = {
    "block": "Bad account-days stay out of the facts (their last good rows stay) until they pass.",
    "warn": "The facts are built as usual; an admin is alerted if it persists.",
    "inform": "None. It is only worth knowing.",
}


def check_query(
    database: Database,
    model: type[pa.DataFrameModel],
    query: str,
    scope: CheckScope,
    key: Sequence[str],
    **parameters: Any,
) -> Violations:
    """Validate the rows of a query over the scope. Raises ``DatabaseError`` as ``query_rows``."""
    return judged(model, query_rows(database, query, scope, **parameters), key)


def query_rows(
    database: Database, query: str, scope: CheckScope, **parameters: Any
) -> list[dict[str, Any]]:
    """The rows of a query, whose parameters are those of ``scope_parameters`` and those given.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    with database.connect() as connection:
        return connection.execute(
            query.encode(), {**scope_parameters(scope), **parameters}
        ).fetchall()


def judged(
    model: type[pa.DataFrameModel], rows: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> Violations:
    """What a model says about rows; ``key`` are the columns that name and explain one."""
    violations = Violations()
    if rows:
        violations.add(model, pd.DataFrame(rows), key)
    return violations


def scope_parameters(scope: CheckScope) -> dict[str, Any]:
    """The scope as a query's parameters."""
    return {
        "accounts": scope.account_ids,
        "start": scope.window.start,
        "end": scope.window.end,
        "started_at": scope.started_at,
        "run": scope.run_id,
    }


def pulled_days(database: Database, asset: str, scope: CheckScope) -> list[AccountDay]:
    """The account-days of the scope whose slice of ``asset`` was ever landed."""
    with database.connect() as connection:
        rows = connection.execute(
            "select account_id, partition_date from control.slices"
            " where asset = %(asset)s and account_id = any(%(accounts)s)"
            "   and partition_date between %(start)s and %(end)s and pulled_at is not null"
            " order by 1, 2",
            {**scope_parameters(scope), "asset": asset},
        ).fetchall()
    return [(row["account_id"], row["partition_date"]) for row in rows]


def accounts_of(scope: CheckScope) -> list[AccountDay]:
    """The scope's accounts, for checks of what has no date."""
    return [(account_id, None) for account_id in scope.account_ids]

"""Precision and recall of ``marts.anomalies`` on faults injected into generated accounts.

Twelve weeks of ordinary accounts (weekdays, season, drift, ads that start, pause and end, clocks
that change) are landed by the real loader and built by dbt; the last four weeks contain faults at
known places (``benchmarks/injections.py``). A report is right when it is about an injected fault,
or says that delivery stopped where the generator itself has none, or that a week's budget was
exceeded where the generator did that. Every other report counts as a false alarm. Thresholds were
tuned on other seeds than those that are reported (``python -m benchmarks.anomalies 11 12 13 14``
shows the former).
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dbt.artifacts.schemas.run import RunExecutionResult
from dbt.cli.main import dbtRunner

from benchmarks.injections import (
    DAY_FAULTS,
    HOUR_FAULTS,
    INJECTED_DAYS,
    OVERSPEND,
    InjectedAccount,
    Injection,
)
from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.database import Database, export_environment
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.control.slices import Attempt
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN, insights_fields
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_graph_simulator.accounts.generator import GeneratedAccount, GeneratorConfig, generate
from meta_graph_simulator.accounts.local_time import hour_minutes
from meta_graph_simulator.insights.run import InsightsQuery, run

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 17)
DAYS = 84
SEEDS = (1, 2, 3, 4)
ADS = 24
RECALL = PRECISION = 0.9
PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"

_VOLUME = frozenset({"spend", "impressions", "clicks"})
EXPECTED: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "spend spike": (_VOLUME, frozenset({"spike", "over_budget"})),
    "spend drop": (_VOLUME, frozenset({"drop"})),
    "delivery stopped": (frozenset({"impressions"}), frozenset({"stopped"})),
    "CTR collapse": (frozenset({"ctr"}), frozenset({"drop"})),
    "CPM jump": (frozenset({"cpm"}), frozenset({"spike"})),
    "conversions stopped": (frozenset({"purchases"}), frozenset({"stopped", "drop"})),
    "spend spike, 2 h": (_VOLUME, frozenset({"spike"})),
    "delivery stopped, 5 h": (frozenset({"impressions"}), frozenset({"stopped"})),
    "CTR collapse, 4 h": (frozenset({"ctr"}), frozenset({"drop"})),
    "CPM jump, 3 h": (frozenset({"cpm"}), frozenset({"spike"})),
    OVERSPEND: (frozenset({"spend"}), frozenset({"over_budget"})),
}
"""By kind of fault: measures and kinds of anomaly that tell it."""


def land(database: Database, source: InjectedAccount, account: Account) -> None:
    """Land all days by the loader, as the three pulls would, and the campaigns as they were."""
    first = LAST - timedelta(days=DAYS - 1)
    dates = [first + timedelta(days=offset) for offset in range(DAYS)]
    with database.connect() as connection:
        save_accounts(connection, [account])
        for campaign in source.objects("campaign"):
            # Seen before the first day: budgets of the past cannot be asked for.
            connection.execute(
                "insert into raw.entity_versions (account_id, level, entity_id, valid_from,"
                " document, document_hash) values (%s, 'campaign', %s, %s, %s, '')",
                [account.account_id, campaign["id"], first, json.dumps(campaign)],
            )
    for table in INSIGHTS_TABLES.values():
        query = InsightsQuery(
            since=first,
            until=LAST,
            level=table.level,
            fields=insights_fields(table.level, table.grain),
            time_increment=1,
            breakdowns=(HOURLY_BREAKDOWN,) if table.grain == "hour" else (),
            hide_removed=False,
        )
        pulled = PulledRows(run(source, query), dates, "v26.0", NOW)
        load_insights(database, account, table, pulled, Attempt("benchmark", "benchmark"))


@dataclass
class Score:
    """What was found of what was injected, and what was reported besides."""

    injected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    reported: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    oddities: Counter[str] = field(default_factory=Counter)
    missed: list[Injection] = field(default_factory=list)
    false_alarms: list[Mapping[str, Any]] = field(default_factory=list)
    account_weeks: float = 0

    def recall(self, kinds: Sequence[str] = tuple(EXPECTED)) -> float:
        """Share of the injected faults that were reported as what they are."""
        injected = sum(self.injected[kind] for kind in kinds)
        return sum(self.found[kind] for kind in kinds) / max(1, injected)

    def precision(self, grain: str = "") -> float:
        """Share of the reports (of a grain) that are right."""
        names = [name for name in self.reported if name.startswith(grain)]
        right = sum(self.right[name] for name in names)
        return right / max(1, sum(self.reported[name] for name in names))

    def lines(self) -> Iterator[str]:
        """The figures."""
        yield f"{'fault':24} injected found"
        for kind in EXPECTED:
            yield f"{kind:24} {self.injected[kind]:8} {self.found[kind]:5}"
        yield f"{'report':34} right false  false per account-week"
        for name, reported in sorted(self.reported.items()):
            false = reported - self.right[name]
            rate = false / self.account_weeks
            yield f"{name:34} {self.right[name]:5} {false:5}  {rate:.3f}"
        for oddity in ("drift", "weekends", "calm day", "clock change"):
            yield f"false alarms because of a {oddity + ':':14} {self.oddities[oddity]}"
        hours = [*HOUR_FAULTS, OVERSPEND]
        yield (
            f"days: recall {self.recall(DAY_FAULTS):.2f}, precision {self.precision('day'):.2f};"
            f" hours and budgets: recall {self.recall(hours):.2f},"
            f" precision of hours {self.precision('hour'):.2f}"
        )
        yield (
            f"recall {self.recall():.2f} (target {RECALL}), precision {self.precision():.2f}"
            f" (target {PRECISION}); {len(self.false_alarms)} false alarms in"
            f" {self.account_weeks:.0f} account-weeks"
        )


def score(rows: Sequence[Mapping[str, Any]], sources: Mapping[str, InjectedAccount]) -> Score:
    """Compare the reports of the last four weeks with what was injected there."""
    result = Score()
    by_account: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_account[row["account_id"]].append(row)
        source = sources[row["account_id"]]
        name = f"{row['grain']} {row['measure']} {row['kind']}"
        result.reported[name] += 1
        injected = (source.injections.get(day) for day in _days(row))
        if any(_is_about(row, each) for each in injected if each) or _is_real(row, source):
            result.right[name] += 1
        else:
            result.false_alarms.append(row)
            result.oddities.update(_oddities(row, source))
    for account_id, source in sources.items():
        result.account_weeks += INJECTED_DAYS / 7
        for injection in source.injections.values():
            result.injected[injection.kind] += 1
            told = (row for row in by_account[account_id] if _is_about(row, injection))
            if any(_tells(row, injection) for row in told):
                result.found[injection.kind] += 1
            else:
                result.missed.append(injection)
    return result


def _days(row: Mapping[str, Any]) -> list[date]:
    """The dates that a report is about; that of a week is dated by its Saturday."""
    first = row["event_date"] - timedelta(days=6 if row["budget_period"] == "week" else 0)
    length = (row["last_date"] - first).days
    return [first + timedelta(days=offset) for offset in range(length + 1)]


def _hours(row: Mapping[str, Any], day: date) -> range:
    """The local hours of a day that a report is about."""
    if row["grain"] == "day":
        return range(24)
    first = row["event_hour"] if day == row["event_date"] else 0
    last = row["last_hour"] if day == row["last_date"] else 23
    return range(first, last + 1)


def _is_about(row: Mapping[str, Any], injection: Injection) -> bool:
    if injection.day not in _days(row):
        return False
    if not set(_hours(row, injection.day)) & set(injection.hours):
        return False
    places = (injection.campaign_id, row["account_id"])
    return injection.campaign_id is None or row["external_entity_id"] in places


def _is_real(row: Mapping[str, Any], source: InjectedAccount) -> bool:
    """Whether the generator by itself stopped, or spent more than a budget's week."""
    if row["budget_period"] == "week":
        budget = source.daily_budgets[row["external_entity_id"]]
        return sum(source.amounts(row["external_entity_id"], d)[2] for d in _days(row)) > 7 * budget
    if row["kind"] != "stopped" or row["measure"] != "impressions":
        return False
    campaign = row["external_entity_id"] if row["level"] == "campaign" else None
    return not any(source.amounts(campaign, day, _hours(row, day))[0] for day in _days(row))


def _oddities(row: Mapping[str, Any], source: InjectedAccount) -> Iterator[str]:
    if row["external_entity_id"] in source.oddities:
        yield source.oddities[row["external_entity_id"]]
    if source.calm_day in _days(row):
        yield "calm day"
    zone = source.account["timezone_name"]
    if any(set(hour_minutes(day, zone)) != {60} for day in _days(row)):
        yield "clock change"


def _tells(row: Mapping[str, Any], injection: Injection) -> bool:
    measures, kinds = EXPECTED[injection.kind]
    if row["measure"] in measures:
        return row["kind"] in kinds
    return any(measure in (row["related_measures"] or "").split(", ") for measure in measures)


def build(database: Database, target: Path, *selection: str) -> None:
    """Run the models of the injected accounts' dates. Raises RuntimeError: dbt failed."""
    export_environment(database)
    first = LAST - timedelta(days=DAYS - 1)
    directories = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    paths = ["--target-path", str(target), "--log-path", str(target / "logs")]
    window = ["--event-time-start", str(first), "--event-time-end", str(LAST + timedelta(days=1))]
    kinds = ["--exclude-resource-type", "unit_test", "test"]
    result = dbtRunner().invoke(
        ["build", *selection, *kinds, *window, *directories, *paths, "--quiet"]
    )
    if not result.success:
        nodes = result.result if isinstance(result.result, RunExecutionResult) else ()
        failed = [f"{node.node.name}: {node.message}" for node in nodes if node.status == "error"]
        raise RuntimeError(f"dbt failed: {result.exception or '; '.join(failed)[:2000]}")


def generated(seeds: Sequence[int]) -> Iterator[tuple[int, GeneratedAccount]]:
    """Two accounts of each seed, no two of the same number: object ids come from it."""
    for place, seed in enumerate(seeds):
        config = GeneratorConfig(
            accounts=2 * len(seeds), ads=ADS, seed=seed, from_date=LAST - timedelta(days=150)
        )
        for base in generate(config, lambda: NOW)[2 * place : 2 * place + 2]:
            yield seed, base


def prepare(database: Database, seeds: Sequence[int] = SEEDS) -> dict[str, InjectedAccount]:
    """Land two accounts of each seed."""
    sources = {}
    for seed, base in generated(seeds):
        document = base.account
        account = Account(
            document["account_id"], document["timezone_name"], document["currency"], "Benchmark"
        )
        source = InjectedAccount(base, LAST)
        source.inject(account.account_id, random.Random(seed))
        land(database, source, account)
        sources[account.account_id] = source
    return sources


def evaluate(database: Database, sources: Mapping[str, InjectedAccount]) -> Score:
    """Score what is in ``marts.anomalies``."""
    with database.connect() as connection:
        rows = connection.execute(
            "select * from marts.anomalies where event_date > %s and status = 'open'"
            " order by anomaly_key",
            [LAST - timedelta(days=INJECTED_DAYS)],
        ).fetchall()
    return score(rows, sources)


def main(seeds: Sequence[int] = SEEDS) -> bool:
    """Measure and print; whether both targets were met."""
    with tempfile.TemporaryDirectory(prefix="meta-ads-anomalies-") as home:
        server = EmbeddedPostgres(Path(home) / "server")
        database = Database(server.start())
        try:
            database.migrate()
            sources = prepare(database, seeds)
            build(database, Path(home) / "target")
            result = evaluate(database, sources)
        finally:
            database.dispose()
            server.release()
    for line in result.lines():
        print(line)
    return result.recall() >= RECALL and result.precision() >= PRECISION


if __name__ == "__main__":
    raise SystemExit(0 if main([int(seed) for seed in sys.argv[1:]] or SEEDS) else 1)

"""Precision and recall of ``marts.anomalies`` on anomalies injected into generated accounts.

Twelve weeks of ordinary accounts (weekdays, season, drift, ads that start, pause and end) are
landed by the real loader and built by dbt; the last four weeks contain changes by a factor of 3 to
5 at known places. A report is right when it is about an injected object-day, or says that delivery
stopped where the generator itself has none. Every other report counts as a false alarm.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from dbt.cli.main import dbtRunner
from numpy.typing import NDArray

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.database import Database, export_environment
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.control.slices import Attempt
from meta_ads_pipeline.meta_api.fields import insights_fields
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from meta_ads_pipeline.raw.normalize import HOUR_KEY
from meta_ads_pipeline.raw.tables import INSIGHTS_TABLES
from meta_ads_pipeline.simulator.generator import FleetConfig, GeneratedAccount, generate
from meta_ads_pipeline.simulator.insights import InsightsQuery, run
from meta_ads_pipeline.simulator.source import CLICKS, IMPRESSIONS, LINK_CLICKS, DayDelivery

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 17)
DAYS, INJECTED_DAYS = 84, 28
SEEDS = (1, 2, 3, 4)
ADS = 24
RECALL, PRECISION = 0.9, 0.8
PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"

EXPECTED: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "spend spike": (frozenset({"spend", "impressions", "clicks"}), frozenset({"spike"})),
    "spend drop": (frozenset({"spend", "impressions", "clicks"}), frozenset({"drop"})),
    "delivery stopped": (frozenset({"impressions"}), frozenset({"stopped"})),
    "CTR collapse": (frozenset({"ctr"}), frozenset({"drop"})),
    "CPM jump": (frozenset({"cpm"}), frozenset({"spike"})),
    "conversions stopped": (frozenset({"purchases"}), frozenset({"stopped", "drop"})),
}
"""By kind of injection: measures and kinds of anomaly that tell it."""


@dataclass(frozen=True)
class Injection:
    """A change on one day, of one campaign or (``campaign_id`` None) of the whole account."""

    account_id: str
    campaign_id: str | None
    day: date
    kind: str
    factor: int

    def applied(self, delivery: DayDelivery, concerned: NDArray[np.bool_]) -> DayDelivery:
        """The day with the change made to the ads that are concerned."""
        if self.kind == "delivery stopped":
            return delivery.keep(~concerned)
        arrays = [array.copy() for array in delivery.arrays()]
        hours, _, day_actions, day_values, reach = arrays
        if self.kind == "spend spike":
            for array in arrays:
                array[concerned] *= self.factor
        elif self.kind == "spend drop":
            for array in arrays:
                array[concerned] //= self.factor
        elif self.kind == "conversions stopped":
            day_actions[concerned] = 0
            day_values[concerned] = 0
        else:
            columns = [CLICKS, LINK_CLICKS]
            if self.kind == "CPM jump":
                columns.append(IMPRESSIONS)
                reach[concerned] //= self.factor
            for column in columns:
                hours[concerned, :, column] //= self.factor
        return DayDelivery(delivery.day, delivery.ad_ids, delivery.types, *arrays)


@dataclass
class InjectedAccount:
    """A generated account (``AccountSource``) with changes on some days."""

    base: Any
    injections: dict[date, Injection] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    @cached_property
    def campaign_of(self) -> dict[str, str]:
        """Campaign of every ad."""
        return {str(ad["id"]): str(ad["campaign_id"]) for ad in self.base.objects("ad")}

    def concerned(self, delivery: DayDelivery, campaign_id: str | None) -> NDArray[np.bool_]:
        """Which rows of a day belong to the campaign, or to the account."""
        found = [campaign_id in (None, self.campaign_of.get(ad)) for ad in delivery.ad_ids]
        return np.array(found, dtype=np.bool_)

    def delivery(self, day: date) -> DayDelivery:
        """The day's delivery with its injection."""
        delivery: DayDelivery = self.base.delivery(day)
        injection = self.injections.get(day)
        if injection is None:
            return delivery
        return injection.applied(delivery, self.concerned(delivery, injection.campaign_id))

    def amounts(self, campaign_id: str | None, day: date) -> tuple[int, int]:
        """Impressions and purchases of a day as generated, without injections."""
        delivery = self.base.delivery(day)
        rows = self.concerned(delivery, campaign_id)
        bought = [i for i, name in enumerate(delivery.types.daily) if name == "omni_purchase"]
        return (
            int(delivery.hours[rows][:, :, IMPRESSIONS].sum()),
            int(delivery.day_actions[rows][:, bought].sum()),
        )

    def is_usual(self, kind: str, campaign_id: str | None, day: date) -> bool:
        """Whether there is something on the day, and before it, that the change can be seen in."""
        earlier = [day - timedelta(days=7 * weeks) for weeks in range(1, 8)]
        seen = [self.amounts(campaign_id, each) for each in earlier]
        now = self.amounts(campaign_id, day)
        if kind == "conversions stopped" and median(bought for _, bought in seen) < 10:
            return False
        return now[0] > 0 and sum(shown > 2000 for shown, _ in seen) >= 5

    def inject(self, account_id: str, draws: random.Random) -> None:
        """A change on every other day of the last four weeks, kinds in turn."""
        campaigns = sorted(set(self.campaign_of.values()))
        for number, back in enumerate(range(INJECTED_DAYS - 1, -1, -2)):
            day = LAST - timedelta(days=back)
            kind = list(EXPECTED)[(number + draws.randrange(2)) % len(EXPECTED)]
            places: list[str | None] = [None, *draws.sample(campaigns, len(campaigns))]
            draws.shuffle(places)
            for place in places:
                if self.is_usual(kind, place, day):
                    factor = draws.choice((3, 4, 5))
                    self.injections[day] = Injection(account_id, place, day, kind, factor)
                    break


def land(database: Database, source: InjectedAccount, account: Account) -> None:
    """Land all days by the loader, as the three pulls would."""
    first = LAST - timedelta(days=DAYS - 1)
    dates = [first + timedelta(days=offset) for offset in range(DAYS)]
    with database.connect() as connection:
        save_accounts(connection, [account])
    for table in INSIGHTS_TABLES.values():
        query = InsightsQuery(
            since=first,
            until=LAST,
            level=table.level,
            fields=insights_fields(table.level, table.grain),
            time_increment=1,
            breakdowns=(HOUR_KEY,) if table.grain == "hour" else (),
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
    missed: list[Injection] = field(default_factory=list)
    false_alarms: list[Mapping[str, Any]] = field(default_factory=list)
    object_days: int = 0

    @property
    def recall(self) -> float:
        """Share of the injected changes that were reported as what they are."""
        return self.found.total() / max(1, self.injected.total())

    @property
    def precision(self) -> float:
        """Share of the reports that are right."""
        return self.right.total() / max(1, self.reported.total())

    def lines(self) -> Iterator[str]:
        """The figures."""
        for kind, injected in self.injected.items():
            yield f"recall {kind:20} {self.found[kind]:3} of {injected:3}"
        for kind, reported in sorted(self.reported.items()):
            yield f"precision {kind:17} {self.right[kind]:3} of {reported:3}"
        yield (
            f"recall {self.recall:.2f} (target {RECALL}), precision {self.precision:.2f}"
            f" (target {PRECISION}); {len(self.false_alarms)} false alarms in"
            f" {self.object_days} object-days"
        )


def score(rows: Sequence[Mapping[str, Any]], sources: Mapping[str, InjectedAccount]) -> Score:
    """Compare the reports of the last four weeks with what was injected there."""
    result = Score()
    by_day: dict[tuple[str, date], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_day[row["account_id"], row["event_date"]].append(row)
        source = sources[row["account_id"]]
        injection = source.injections.get(row["event_date"])
        name = f"{row['measure']} {row['kind']}"
        result.reported[name] += 1
        if _is_about(row, injection) or _is_real_stop(row, source):
            result.right[name] += 1
        else:
            result.false_alarms.append(row)
    for account_id, source in sources.items():
        campaigns = len(set(source.campaign_of.values()))
        result.object_days += (campaigns + 1) * INJECTED_DAYS
        for day, injection in source.injections.items():
            result.injected[injection.kind] += 1
            told = (row for row in by_day[account_id, day] if _is_about(row, injection))
            if any(_tells(row, injection) for row in told):
                result.found[injection.kind] += 1
            else:
                result.missed.append(injection)
    return result


def _is_about(row: Mapping[str, Any], injection: Injection | None) -> bool:
    if injection is None:
        return False
    places = (injection.campaign_id, row["account_id"])
    return injection.campaign_id is None or row["external_entity_id"] in places


def _is_real_stop(row: Mapping[str, Any], source: InjectedAccount) -> bool:
    campaign = row["external_entity_id"] if row["level"] == "campaign" else None
    stopped = row["kind"] == "stopped" and row["measure"] == "impressions"
    return stopped and source.amounts(campaign, row["event_date"])[0] == 0


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
        raise RuntimeError(f"dbt failed: {result.exception or result.result}")


def generated() -> Iterator[tuple[str, GeneratedAccount]]:
    """Two accounts of each seed, no two of the same number: object ids come from it."""
    for place, seed in enumerate(SEEDS):
        config = FleetConfig(
            accounts=2 * len(SEEDS), ads=ADS, seed=seed, from_date=LAST - timedelta(days=150)
        )
        for index, base in enumerate(generate(config, lambda: NOW)[2 * place : 2 * place + 2]):
            yield f"{seed}/{index}", base


def prepare(database: Database) -> dict[str, InjectedAccount]:
    """Land two accounts of each seed."""
    sources = {}
    for seed, base in generated():
        document = base.account
        account = Account(
            document["account_id"], document["timezone_name"], document["currency"], "Benchmark"
        )
        source = InjectedAccount(base)
        source.inject(account.account_id, random.Random(seed))
        land(database, source, account)
        sources[account.account_id] = source
    return sources


def evaluate(database: Database, sources: Mapping[str, InjectedAccount]) -> Score:
    """Score what is in ``marts.anomalies``."""
    with database.connect() as connection:
        rows = connection.execute(
            "select * from marts.anomalies where event_date > %s order by anomaly_key",
            [LAST - timedelta(days=INJECTED_DAYS)],
        ).fetchall()
    return score(rows, sources)


def main() -> bool:
    """Measure and print; whether both targets were met."""
    with tempfile.TemporaryDirectory(prefix="meta-ads-anomalies-") as home:
        server = EmbeddedPostgres(Path(home) / "server")
        database = Database(server.start())
        try:
            database.migrate()
            sources = prepare(database)
            build(database, Path(home) / "target")
            result = evaluate(database, sources)
        finally:
            database.dispose()
            server.release()
    for line in result.lines():
        print(line)
    return result.recall >= RECALL and result.precision >= PRECISION


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)

"""An hour of trouble of every kind, on and off at random; then the same command ends at the truth.

    python -m benchmarks.soak --minutes 60 --seed 1

Each round switches some faults on and others off, then runs ``meta-ads sync`` as a person would. A
round may fail, but it ends in time, says why without a trace, and doubles nothing. At the end all
faults are lifted: the same command again, and what is in the database is what the simulator has.
What was left out on the way is listed from the dead letters. The seed decides every choice, so a
round that went wrong is found again by its seed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.truth import (
    conversion_differences,
    doubled_rows,
    marts_differences,
    raw_differences,
)
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.windows import DateWindow
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.process import SimulatorProcess

TOKEN = "EAAsoaktokensoaktokensoaktoken"
MOST_SECONDS = 420  # of one command, on a busy machine
END_SECONDS = 15  # from SIGTERM to the end
LAST_STARTS = 6
PULL_SPEED = 20.0  # of the clocks, where only the pulls run


@dataclass(frozen=True)
class Scene:
    """What faults may be about: the ids of what the simulator serves."""

    account: str
    other_account: str
    ad: str
    creative: str
    adset: str
    days: tuple[str, ...]


Maker = Callable[[random.Random, Scene], dict[str, Any]]


def _of(**fault: Any) -> Maker:
    return lambda _random, _scene: fault


TROUBLE: dict[str, Maker] = {
    "latency": _of(ms=150, jitter_ms=300, probability=0.3),
    "html": _of(http_status=502, probability=0.1),
    "reset": _of(fraction=0.5, probability=0.1),
    "truncate": _of(fraction=0.7, probability=0.1),
    "no_usage_headers": _of(probability=0.5),
    "null_batch_item": _of(probability=0.3),
    "error": lambda r, _: {
        "code": r.choice([99, 12345, 2, 368]),
        "subcode": r.choice([None, 1, 999]),
        "message": "Something that no list knows",
        "probability": 0.1,
        "match": {"edge": r.choice(["ads", "adsets", "insights", "adcreatives"])},
    },
    "transient": lambda r, _: {"code": r.choice([1, 2, 960]), "probability": 0.15},
    "rate_limit": lambda r, s: {
        "code": r.choice([17, 80000, 80004]),
        "seconds": 20,
        "match": {"account": s.account},
        "times": 1,
    },
    "token": lambda r, _: {"subcode": r.choice([460, 463]), "times": 1},
    "two_factor": lambda r, s: {
        "subcode": r.choice([1404120, 2859009]),
        "match": {"account": s.account},
    },
    "account_lost": lambda r, s: {"account": s.account, "code": r.choice([200, 100, 10])},
    "account_refused": lambda r, s: {"account": s.account, "code": r.choice([200, 3, 10])},
    "page_token": _of(),
    "unusable_timezone": lambda r, s: {
        "account": s.account,
        "timezone": r.choice(["Mars/Olympus", "", "GMT+25"]),
    },
    "unfetchable_field": lambda r, _: {
        "field": r.choice(["tracking_specs", "learning_stage_info", "reach"])
    },
    "refused_fields": lambda r, _: {
        "fields": r.sample(["reach", "frequency", "outbound_clicks", "attribution_setting"], 2),
        "wording": r.choice(["plural", "nonexisting", "words", "nameless"]),
        "match": {"edge": r.choice(["insights", "insights_async"])},
    },
    "missing_permission": lambda r, _: {
        "fields": r.sample(["instagram_permalink_url", "object_story_spec", "body"], 1),
        "code": r.choice([3, 10, 100, 200]),
        "wording": r.choice(["nameless", "application", "named", "plural"]),
        "match": {"edge": "adcreatives"},
    },
    "refused_filter_value": lambda r, _: {"value": r.choice(["ARCHIVED", "DELETED"])},
    "refused_filter": _of(match={"edge": "insights"}),
    "reduce_data": lambda r, _: {
        "max_limit": r.choice([1, 5, 50]),
        "message": r.choice(["Please reduce the amount of data", "Pide menos datos"]),
        "match": {"edge": r.choice(["ads", "adcreatives"])},
    },
    "empty_page": _of(probability=0.3),
    "short_page": _of(rows=2, probability=0.3),
    "endless_pages": lambda r, s: {
        "match": {"edge": r.choice(["ads", "campaigns"]), "account": s.account}
    },
    "invalid_cursor": _of(probability=0.3),
    "null_object": lambda r, _: {
        "match": {"edge": r.choice(["ads", "adsets", "adcreatives", "insights"])}
    },
    "listed_twice": lambda r, _: {"match": {"edge": r.choice(["ads", "campaigns", "insights"])}},
    "report_failed": _of(probability=0.5),
    "report_skipped": _of(times=1),
    "report_stuck": _of(percent=30, times=1),
    "report_hundred_running": _of(times=1),
    "report_page_missing": lambda r, _: {"first_page": r.choice([True, False])},
    "report_vanished": lambda r, _: {"after_first_page": r.choice([True, False]), "times": 2},
    "unreadable_object": lambda r, s: {
        "id": r.choice([s.creative, s.ad]),
        "fields": r.choice([["object_story_spec", "tracking_specs"], []]),
        "subcode": r.choice([2446289, 1443048, 2446211, 7]),
    },
    "inaccessible_ad": lambda _, s: {"ad_id": s.ad},
    "odd_field": lambda r, s: {
        "field": r.choice(["daily_budget", "end_time", "created_time", "status"]),
        "value": r.choice([None, "", "N/A", {"a": 1}, [], True]),
        "id": s.adset,
    },
    "changed_shape": lambda r, s: {
        "field": r.choice(["targeting", "attribution_spec", "promoted_object"]),
        "shape": r.choice(["other", "null"]),
        "id": s.adset,
    },
    "odd_text": lambda r, _: {"variant": r.choice(["surrogate", "nul", "brackets"])},
    "huge_number": lambda r, _: {
        "field": r.choice(["impressions", "spend", "reach"]),
        "match": {"edge": "insights"},
        "times": 2,
    },
    "deep_nesting": lambda _, s: {"id": s.adset},
    "missing_rows": lambda r, s: {
        "dates": [r.choice(s.days)],
        "match": r.choice([{"level": "ad"}, {"level": "account"}, {}]),
    },
    "odd_date": lambda r, _: {"date": r.choice(["0000-00-00", None, "soon"]), "times": 2},
    "late_actions": lambda _, s: {"ad_id": s.ad},
    "reordered_actions": _of(),
    "withheld_purchases": _of(),
    "collaborative_ads": _of(match={"level": "account"}),
    "old_range": lambda _, s: {"before": s.days[-1]},
    "old_hours": lambda _, s: {"before": s.days[-1]},
    "localized_errors": lambda r, _: {
        "language": r.choice(["es", "de", "ja"]),
        "ignore_locale": r.choice([True, False]),
    },
    "error_data_text": _of(),
}
"""For every kind of fault, how it is switched on."""
_MEMBERS = frozenset({"match", "probability", "times", "times_per_path", "after"})


@dataclass
class SoakReport:
    """What happened; ``problems`` empty is the proof."""

    seed: int
    rounds: int = 0
    seconds: float = 0.0
    exits: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The figures, what was left out, and the problems."""
        exits = ", ".join(f"exit {code}: {n}" for code, n in sorted(self.exits.items()))
        return [
            f"seed {self.seed}: {self.rounds} rounds in {self.seconds:.0f} s ({exits});"
            f" {len(self.kinds)} kinds switched on, {len(self.struck)} of them struck;"
            f" {len(self.problems)} problems",
            *(f"  left out: {text}" for text in self.left_out),
            *(f"  PROBLEM: {text}" for text in self.problems),
        ]


@dataclass
class Soak:
    """A database and a simulator of its own, and the command of every day."""

    home: Path
    simulator: SimulatorProcess
    window: DateWindow
    report: SoakReport
    whole_command: bool = True

    def __post_init__(self) -> None:
        """Open the database and find out what the simulator serves."""
        self.server = EmbeddedPostgres(self.home)
        self.database = Database(self.server.start(), server=self.server)
        self.database.migrate()
        self.epoch = time.time()
        self.random = random.Random(self.report.seed)
        self.on: dict[str, str] = {}
        state = self.simulator.control.state()
        self.accounts = [str(each["id"]).removeprefix("act_") for each in state["accounts"]]

    def scene(self) -> Scene:
        """What the next fault may be about."""
        account = self.random.choice(self.accounts)
        rows = self.simulator.control.truth(account, self.window.start, self.window.end, by_ad=True)
        ad = str(self.random.choice(sorted({row["ad_id"] for row in rows})))
        document = self._read(ad, "creative,adset_id")
        days = tuple(
            (self.window.start + timedelta(days=number)).isoformat()
            for number in range((self.window.end - self.window.start).days + 1)
        )
        other = next((each for each in self.accounts if each != account), account)
        return Scene(
            account, other, ad, document["creative"]["id"], str(document["adset_id"]), days
        )

    def _read(self, object_id: str, fields: str) -> dict[str, Any]:
        control = self.simulator.control
        held = control.faults()
        control.clear_faults()
        try:
            response = control._session.get(
                f"{self.simulator.url}/v26.0/{object_id}",
                params={"fields": fields, "access_token": TOKEN},
                timeout=30,
            )
            return dict(response.json())
        finally:
            for fault in held:
                control._call("POST", "faults", fault)

    def switch(self) -> list[str]:
        """Switch some faults off and some on; the kinds that are on now."""
        control = self.simulator.control
        for kind in [kind for kind in self.on if self.random.random() < 0.6]:
            control.remove_fault(self.on.pop(kind))
        unused = [kind for kind in TROUBLE if kind not in self.report.kinds]
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.choice(unused or [*TROUBLE])
            if kind in self.on:
                continue
            unused = [name for name in unused if name != kind]
            fault = TROUBLE[kind](self.random, self.scene())
            members = {name: value for name, value in fault.items() if name in _MEMBERS}
            params = {name: value for name, value in fault.items() if name not in _MEMBERS}
            self.on[kind] = control.add_fault(kind, **members, **params)
            self.report.kinds[kind] += 1
        return sorted(self.on)

    def sync(self, about: str) -> int:
        """The command; problems are noted with what was on."""
        started = time.monotonic()
        kept = {name: v for name, v in os.environ.items() if not name.startswith("META_")}
        start, end = self.window.start.isoformat(), self.window.end.isoformat()
        command = ["meta_ads_pipeline.cli", "sync", "--start", start, "--end", end]
        if not self.whole_command:
            command = ["benchmarks.backfill_worker", start, end, str(PULL_SPEED), str(self.epoch)]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=Path(__file__).parents[1],
            env={
                **kept,
                "META_ADS_HOME": str(self.home),
                "META_GRAPH_URL": self.simulator.url,
                "META_ACCESS_TOKEN": TOKEN,
                "META_ADS_REACH": "false",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            text, _ = process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            self.report.problems.append(f"{about}: did not end within {MOST_SECONDS} s")
            process.terminate()
            try:
                text, _ = process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                self.report.problems.append(f"{about}: SIGTERM had no effect in {END_SECONDS} s")
                os.killpg(process.pid, signal.SIGKILL)
                text, _ = process.communicate()
        code = process.returncode
        self.report.exits[code] += 1
        if code not in (0, 1):
            self.report.problems.append(f"{about}: exit {code}: {text[-600:]}")
        if "Traceback (most recent call last)" in text:
            self.report.problems.append(f"{about}: a trace: {text[-1500:]}")
        if TOKEN in text:
            self.report.problems.append(f"{about}: the token is in the output")
        doubled = self._doubled()
        if doubled:
            self.report.problems.append(f"{about}: {doubled} rows of the marts are there twice")
        if not self.whole_command and code == 0:
            with self.database.connect() as connection:
                connection.execute("update control.syncs set status = 'done', finished_at = now()")
        seconds = time.monotonic() - started
        print(f"{about}: exit {code} after {seconds:.0f} s", flush=True)
        if code == 1:
            print("    " + "\n    ".join(text.strip().splitlines()[-8:]), flush=True)
        return code

    def _doubled(self) -> int:
        with self.database.connect() as connection:
            built = connection.execute(
                "select to_regclass('marts.conversions_daily') is not null as built"
            ).fetchone()
        return doubled_rows(self.database) if built and built["built"] else 0

    def trouble(self, until: float, least: int) -> None:
        """Rounds until the time is over, at least so many."""
        while self.report.rounds < least or time.monotonic() < until:
            self.report.rounds += 1
            kinds = self.switch()
            about = f"round {self.report.rounds} of seed {self.report.seed} ({', '.join(kinds)})"
            self.sync(about)
            for fault in self.simulator.control.faults():
                if fault["fired"]:
                    self.report.struck[fault["kind"]] += int(fault["fired"])

    def recover(self) -> None:
        """All faults off: the same command until it is done, and once more, then the truth."""
        control = self.simulator.control
        control.clear_faults()
        control.repair_token(TOKEN)
        done = False
        for number in range(1, LAST_STARTS + 1):
            if self.sync(f"faults off, start {number} (seed {self.report.seed})") == 0:
                if done:
                    break
                done = True
        if not done:
            self.report.problems.append(f"no good end in {LAST_STARTS} starts without faults")
        arguments = (self.database, control, self.accounts, self.window)
        self.report.problems += raw_differences(*arguments)
        if self.whole_command:
            self.report.problems += marts_differences(*arguments)
            self.report.problems += conversion_differences(*arguments)
        with self.database.connect() as connection:
            rows = connection.execute(
                "select asset, status, left(regexp_replace(reason, '[0-9]{6,}', '<id>', 'g'), 120)"
                " as reason, count(*) as n from control.dead_letters group by 1, 2, 3"
                " order by 4 desc, 1, 3 limit 60"
            ).fetchall()
        self.report.left_out = [
            f"{row['n']} x {row['asset']} ({row['status']}): {row['reason']}" for row in rows
        ]
        still = [row for row in rows if row["status"] == "open"]
        if still:
            count = sum(row["n"] for row in still)
            self.report.problems.append(f"{count} dead letters are open after good pulls")

    def close(self) -> None:
        """Stop the server."""
        self.database.dispose()
        self.server.release()


def prove(
    *,
    minutes: float = 60.0,
    seed: int = 1,
    accounts: int = 2,
    ads: int = 6,
    days: int = 3,
    rounds: int = 1,
    pulls_only: bool = False,
) -> SoakReport:
    """The soak: trouble for so many minutes, at least so many rounds; then the recovery.

    ``pulls_only`` runs the pulls and loads without Dagster and dbt, in a fraction of the time.
    """
    report = SoakReport(seed)
    end = datetime.now(UTC).date() - timedelta(days=2)
    window = DateWindow(end - timedelta(days=days - 1), end)
    speed = PULL_SPEED if pulls_only else 1.0
    config = SimulatorConfig(
        accounts=accounts, ads=ads, seed=seed, job_seconds=0.5, clock_speed=speed
    )
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as home,
        SimulatorProcess(config) as simulator,
    ):
        soak = Soak(Path(home), simulator, window, report, whole_command=not pulls_only)
        try:
            soak.trouble(started + 60 * minutes, rounds)
            soak.recover()
        finally:
            soak.close()
    report.seconds = time.monotonic() - started
    return report


def main(arguments: list[str] | None = None) -> bool:
    """Whether there was no problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="rounds of trouble for so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=2)
    parser.add_argument("--ads", type=int, default=6)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="at least so many")
    parser.add_argument("--pulls-only", action="store_true", help="without Dagster and dbt")
    report = prove(**vars(parser.parse_args([] if arguments is None else arguments)))
    print("\n".join(report.lines()))
    return not report.problems


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

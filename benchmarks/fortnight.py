"""A fortnight in which nobody does anything: schedules, sensors and webhooks keep the marts right.

    python -m benchmarks fortnight

A person connects a token on the first morning. From then on simulated time alone passes: every
schedule and sensor of the deployment is asked when it is due, what they ask for is run whole (dbt
and checks too), and a real ``meta-ads serve`` receives the simulator's signed webhooks. Each day
has its trouble (`story`). Every morning, after the refresh of the last 28 days, every finished day
of every account is compared with what the simulator has at that moment, ad by ad.

A person is needed where something waits for one: a slice that is not tried again by itself, a
connection that is paused, a change that a webhook announced and no dimension shows, an alert that
stands though its cause is over. The target: 0, no difference, and no gap in the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet
from pydantic import SecretStr
from rich.console import Console

from benchmarks.http_service import http_service
from benchmarks.simulated_daemon import SimulatedDaemon, simulated_daemon
from benchmarks.simulated_time import simulate_time, simulated_now
from benchmarks.truth import conversion_differences, doubled_rows, marts_differences
from meta_ads_pipeline.windows import DateWindow
from meta_graph_simulator.config import SimulatorConfig, TokenSpec
from meta_graph_simulator.http.server import SimulatorServer

DAYS = 14
FIRST = datetime.now(UTC).date() - timedelta(days=DAYS)
"""The story ends this morning: no partition of it lies in the future."""
HISTORY_DAYS = 7
"""So far back an account that is new to the pipeline is pulled."""
MARKETS = (
    ("EUR", "Europe/Berlin"),
    ("USD", "America/New_York"),
    ("GBP", "Europe/London"),
    ("JPY", "Asia/Tokyo"),
)
MORNING = timedelta(hours=5, minutes=20)
"""UTC. The refresh of the last 28 days is due at 5:20; until 6:00 Meta restates nothing."""
STEP = timedelta(hours=2)
ARRIVAL_DAY, OUTAGE_DAY, DEPARTURE_DAY = 2, 3, 6
"""From 0, as an index of the story."""
OUTAGE_HOURS = (8, 14)
APP_ID, APP_SECRET, TOKEN = "424242424242", "a fortnight's secret", "EAAfortnightfortnightfortnight"


Happening: TypeAlias = tuple[datetime, Callable[[], None]]
"""At an instant (UTC)."""
Happenings: TypeAlias = list[Happening]


@dataclass
class Day:
    """What a day was like: lags in minutes of all accounts at all steps."""

    lags: list[int] = field(default_factory=list)
    calls: int = 0
    runs: int = 0
    failed: int = 0
    messages: int = 0
    raised: list[str] = field(default_factory=list)
    over: int = 0
    people: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Inbox:
    """Alerts as a person's channel receives them, at a local endpoint."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.messages.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the terminal."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/"

    @contextmanager
    def open(self) -> Iterator[Inbox]:
        """While it listens."""
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()


class Fortnight:
    """The accounts, what is done to them, and what is seen in the mornings."""

    def __init__(self, daemon: SimulatedDaemon, inbox: Inbox) -> None:
        self.daemon, self.inbox = daemon, inbox
        self.control, self.database = daemon.simulator.control, daemon.database
        accounts = self.control.state()["accounts"]
        ids = [str(each["id"]).removeprefix("act_") for each in accounts]
        self.zones = dict(zip(ids, (each["timezone_name"] for each in accounts), strict=True))
        self.a, self.b, self.leaving, self.new = ids
        self.present = {self.a, self.b, self.leaving}
        self.faults: dict[str, str] = {}
        self.excused: set[tuple[str, date]] = set()
        """Account-days that Meta itself tells wrongly at the moment."""
        self.last_words: dict[str, list[Any]] = {}
        """Of an account that has left: its facts when it did."""
        self.announced: list[tuple[str, str]] = []
        """Ads that were changed, with the status they have now."""

    # What happens at Meta.

    def on(self, name: str, kind: str, **fault: Any) -> None:
        """Begin with a trouble."""
        self.faults[name] = self.control.add_fault(kind, **fault)

    def off(self, name: str) -> None:
        """End it."""
        self.control.remove_fault(self.faults.pop(name))

    def hide(self, account: str, day: date, **match: str) -> None:
        """Meta leaves the rows of a day out of some answers: its numbers are wrong meanwhile."""
        match = {"account": account, **match}
        self.on(f"{account} {day}", "missing_rows", dates=[day.isoformat()], match=match)
        self.excused.add((account, day))

    def show(self, account: str, day: date) -> None:
        """... and has put that right."""
        self.off(f"{account} {day}")
        self.excused.remove((account, day))

    def arrive(self) -> None:
        """The token's user is given another ad account."""
        self.off("not there yet")
        self.present.add(self.new)

    def leave(self) -> None:
        """The token's user loses an ad account."""
        self.last_words[self.leaving] = self.facts_of(self.leaving)
        self.on("gone", "account_lost", account=self.leaving)
        self.present.remove(self.leaving)

    def begin_with(self, number: int) -> None:
        """Be as the days of the story before this one (from 0) leave the ad accounts."""
        if number > ARRIVAL_DAY:
            self.present.add(self.new)
        else:
            self.on("not there yet", "account_lost", account=self.new)
        if number > DEPARTURE_DAY:
            self.present.remove(self.leaving)
            self.on("gone", "account_lost", account=self.leaving)

    def change(self) -> None:
        """Somebody pauses an ad and makes another one; Meta announces both."""
        with self.database.connect() as connection:
            ad = connection.execute(
                "select ad_id, adset_id from marts.dim_ads where effective_status = 'ACTIVE'"
                " and account_id = %s order by md5(ad_id || %s) limit 1",
                [self.a, str(simulated_now().date())],
            ).fetchone()
        assert ad is not None, "no ad is active"
        self.control.change_object(ad["ad_id"], status="PAUSED")
        made = self.control.add_ad(ad["adset_id"], f"Ad of {simulated_now():%d %B}")
        self.announced += [(ad["ad_id"], "PAUSED"), (made, "ACTIVE")]

    # What a person sees.

    def facts_of(self, account: str) -> list[Any]:
        """Every day of an account in the marts."""
        with self.database.connect() as connection:
            return connection.execute(
                "select event_date, spend, impressions, clicks, purchases, revenue, leads"
                " from marts.account_daily where account_id = %s order by 1",
                [account],
            ).fetchall()

    def lags(self) -> list[int]:
        """Minutes since the end of the newest hour in the marts, of each account that is there."""
        with self.database.connect() as connection:
            built = connection.execute("select to_regclass('marts.freshness') as view").fetchone()
            if built is None or built["view"] is None:
                return []
            rows = connection.execute(
                "select account_id, data_lag_minutes as lag from marts.freshness"
                " where is_active and data_lag_minutes is not null"
            ).fetchall()
        return [row["lag"] for row in rows if row["account_id"] in self.present]

    def differences(self) -> list[str]:
        """Finished days in the marts that are not what the simulator has now."""
        found: list[str] = []
        for account in sorted(self.present):
            today = simulated_now().astimezone(ZoneInfo(self.zones[account])).date()
            with self.database.connect() as connection:
                row = connection.execute(
                    "select created_at from control.ad_accounts where account_id = %s", [account]
                ).fetchone()
            if row is None:
                found.append(f"act_{account} is not known")
                continue
            seen = row["created_at"].astimezone(ZoneInfo(self.zones[account])).date()
            start, end = seen - timedelta(days=HISTORY_DAYS), today - timedelta(days=1)
            window = DateWindow(start, end)
            arguments = (self.database, self.control, [account], window)
            found += marts_differences(*arguments) + conversion_differences(*arguments)
        found = [
            each
            for each in found
            if not any(
                f"act_{account}" in each and day.isoformat() in each
                for account, day in self.excused
            )
        ]
        found += [
            f"act_{account}: its facts are other ones than when it left"
            for account, facts in self.last_words.items()
            if facts != self.facts_of(account)
        ]
        if doubled := doubled_rows(self.database):
            found.append(f"{doubled} rows of the marts are there twice")
        return found

    def needs_a_person(self) -> list[str]:
        """What would stay as it is, if nobody did anything."""
        from meta_ads_pipeline.automation.retries import retry_at
        from meta_ads_pipeline.automation.sensors import open_slices

        found = [
            f"{each.asset} of {each.partition_date} of act_{each.account_id} is not tried again:"
            f" {each.error_message}"
            for each in open_slices(self.database)
            if retry_at(each) is None and not each.is_held
        ]
        with self.database.connect() as connection:
            paused = connection.execute(
                "select name, status_reason from control.connections where status <> 'active'"
                " and status <> 'expiring'"
            ).fetchall()
            alerts = connection.execute(
                "select kind, subject, message from control.alerts where resolved_at is null"
                " and first_raised_at < %s",
                [simulated_now() - timedelta(days=1)],
            ).fetchall()
            shown = connection.execute(
                "select ad_id, effective_status from marts.dim_ads where ad_id = any(%s)",
                [[ad for ad, _ in self.announced]],
            ).fetchall()
        found += [f"connection {row['name']}: {row['status_reason']}" for row in paused]
        standing = {account for account in (self.leaving,) if account not in self.present}
        standing |= {account for account, _ in self.excused}
        found += [
            f"alert {row['kind']} of {row['subject']} stands: {row['message']}"
            for row in alerts
            if not any(account in row["subject"] for account in standing)
        ]
        now = {row["ad_id"]: row["effective_status"] for row in shown}
        found += [
            f"ad {ad} is {now.get(ad)}, not {status}"
            for ad, status in dict(self.announced).items()
            if now.get(ad) != status
        ]
        return found

    def gaps(self) -> list[str]:
        """What the history lacks, and slices that are not done."""
        from meta_ads_pipeline.automation.sensors import open_slices
        from meta_ads_pipeline.control.gaps import find_gaps

        now = simulated_now()
        gaps = find_gaps(self.database, now, new_account_days=HISTORY_DAYS)
        left = open_slices(self.database)
        return [str(each) for each in gaps if each.account_id in self.present] + [
            str(each) for each in left if each.account_id in self.present
        ]

    # The days.

    def live(self, number: int, happenings: Happenings) -> Day:
        """One day, until the next morning's refresh of the last 28 days."""
        day, told, since = Day(), len(self.inbox.messages), simulated_now()
        end = hour_of(number + 1, 0) + MORNING
        down = [hour_of(number, hour) for hour in OUTAGE_HOURS]
        calls, runs, failed = self.calls(), self.daemon.runs, len(self.daemon.failed)
        due = sorted(happenings, key=lambda happening: happening[0])
        while (now := simulated_now()) < end:
            while due and due[0][0] <= now:
                due.pop(0)[1]()
            if number != OUTAGE_DAY or not down[0] <= now < down[1]:
                self.daemon.catch_up()
            day.lags += self.lags()
            self.daemon.go_to(min(end, _step_after(now)))
        self.daemon.catch_up()
        simulate_time()
        day.calls, day.runs = self.calls() - calls, self.daemon.runs - runs
        day.failed = len(self.daemon.failed) - failed
        day.messages = len(self.inbox.messages) - told
        day.raised, day.over = self.alerts(since)
        day.people, day.differences = self.needs_a_person(), self.differences()
        return day

    def alerts(self, since: datetime) -> tuple[list[str], int]:
        """Alerts that were raised (kind and words), and how many ended."""
        with self.database.connect() as connection:
            rows = connection.execute(
                "select kind, message, first_raised_at, resolved_at from control.alerts"
                " where first_raised_at >= %(since)s or resolved_at >= %(since)s order by 3",
                {"since": since},
            ).fetchall()
        raised = [f"{r['kind']}: {r['message']}" for r in rows if r["first_raised_at"] >= since]
        return raised, sum(row["resolved_at"] is not None for row in rows)

    def calls(self) -> int:
        """Calls so far, as Meta counts."""
        return int(self.control.stats()["calls"])


def _step_after(now: datetime) -> datetime:
    return now.replace(hour=now.hour // 2 * 2, minute=0, second=0, microsecond=0) + STEP


def hour_of(number: int, hours: int) -> datetime:
    """An hour (UTC) of a day of the story; from 24 on it is in the night after it."""
    return datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(number, hours=hours)


def story(of: Fortnight) -> list[tuple[str, Happenings]]:
    """What happens on each day."""

    def on(number: int, hour: int, name: str, kind: str, **fault: Any) -> Happening:
        return hour_of(number, hour), partial(of.on, name, kind, **fault)

    def off(number: int, hour: int, name: str) -> Happening:
        return hour_of(number, hour), partial(of.off, name)

    def once(number: int, hour: int, what: Callable[[], None]) -> Happening:
        return hour_of(number, hour), what

    def day(number: int) -> date:
        return FIRST + timedelta(days=number)

    def restate() -> None:
        of.control.restate(of.b, [day(1), day(2), day(3)], "1.1")
        of.control.vanish(of.a, [day(4)], hour=11)

    in_a = {"account": of.a}
    return [
        ("a person connects; the history comes by itself", []),
        (
            "every tenth call fails, until the night",
            [on(1, 7, "luck", "transient", code=2, probability=0.1), off(1, 25, "luck")],
        ),
        ("a new ad account appears", [once(ARRIVAL_DAY, 8, of.arrive)]),
        ("the daemon is down from 8 to 14 h", []),
        (
            "the ads of yesterday do not add up to their account, until tomorrow noon",
            [once(4, 9, partial(of.hide, of.a, day(3), level="ad"))],
        ),
        (
            "... and then they do; gateway errors at midday",
            [
                on(5, 11, "gateway", "html", http_status=502, probability=0.3),
                once(5, 12, partial(of.show, of.a, day(3))),
                off(5, 14, "gateway"),
            ],
        ),
        ("an ad account is taken from the token", [once(DEPARTURE_DAY, 10, of.leave)]),
        (
            "the first token ends; its successor reads since days",
            [once(7, 7, partial(of.control.expire_token, TOKEN))],
        ),
        (
            "an account is blocked for its rate for 40 minutes",
            [
                on(8, 11, "rate", "rate_limit", code=80000, seconds=2400, times=1, match=in_a),
                off(8, 14, "rate"),
            ],
        ),
        ("three past days become 10 % more, an hour of another vanishes", [once(9, 7, restate)]),
        (
            "an account is refused for five hours",
            [on(10, 9, "refused", "account_refused", account=of.b), off(10, 14, "refused")],
        ),
        (
            "most reports fail, answers are cut off in the middle",
            [
                on(11, 7, "reports", "report_failed", probability=0.7),
                on(11, 7, "cut", "reset", fraction=0.5, probability=0.1),
                off(11, 26, "reports"),
                off(11, 26, "cut"),
            ],
        ),
        (
            "all rows of a past day are missing, from the next night",
            [once(12, 26, partial(of.hide, of.b, day(10)))],
        ),
        ("... and are back", [once(13, 9, partial(of.show, of.b, day(10)))]),
    ]


def connect(daemon: SimulatedDaemon, service_url: str) -> None:
    """All that a person does: a token, and the webhooks."""
    from meta_ads_pipeline.cli.connect import ConnectRequest, run_connect
    from meta_ads_pipeline.cli.webhooks import subscribe
    from meta_ads_pipeline.settings import get_settings

    simulate_time()
    request = ConnectRequest(everything=True, exchange=False)
    console = Console(file=sys.stdout)
    assert not run_connect(get_settings(), daemon.database, SecretStr(TOKEN), request, console)
    assert not subscribe(url=service_url)


def follow(of: Fortnight, days: range, tell: Callable[[str], None]) -> list[str]:
    """These days of the story (from 0), a line each; the problems."""
    problems: list[str] = []
    happens = story(of)
    tell(
        "| day | | lag, minutes: median, most | calls | runs, failed"
        " | alerts raised, over, messages | people |"
    )
    tell("|---|---|---|---|---|---|---|")
    for number in days:
        what, happenings = happens[number]
        # Every day somebody works in Ads Manager; also while the daemon is down.
        if number > days.start:
            happenings.append((hour_of(number, 10), of.change))
        started = time.monotonic()
        day = of.live(number, happenings)
        tell(
            f"| {number + 1} | {what} | {median(day.lags or [0]):.0f}, {max(day.lags or [0])}"
            f" | {day.calls:,} | {day.runs}, {day.failed} | {len(day.raised)}, {day.over},"
            f" {day.messages} | {len(day.people)} |"
        )
        seconds = f"{time.monotonic() - started:.0f} s"
        failed = of.daemon.failed[len(of.daemon.failed) - day.failed :]
        print(f"    {seconds}", *day.raised, *failed, sep="\n    ", file=sys.stderr, flush=True)
        problems += [f"day {number + 1}: a person is needed: {each}" for each in day.people]
        problems += [f"day {number + 1}: {each}" for each in day.differences]
        for each in (*day.people, *day.differences[:10]):
            tell(f"    PROBLEM: {each}")
    gaps = of.gaps()
    return problems + [f"a gap is left: {each}" for each in gaps]


def main(arguments: list[str] | None = None) -> bool:
    """On a database and simulator of its own; whether nobody was needed and nothing was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--first", type=int, default=1, help="connect on this day of the story")
    parser.add_argument("--last", type=int, default=DAYS, help="end with this one")
    parser.add_argument("--every", type=int, default=720, help="minutes between reads of today")
    parser.add_argument("--reach", action="store_true", help="pull reach, too")
    parser.add_argument("--ads", type=int, default=6, help="ads of each account at a time")
    chosen = parser.parse_args(arguments or [])
    started = time.monotonic()
    days = range(chosen.first - 1, chosen.last)
    start = hour_of(days.start, 0) + MORNING
    config = SimulatorConfig(
        accounts=len(MARKETS),
        ads=chosen.ads,
        restating=True,
        markets=MARKETS,
        from_date=FIRST - timedelta(days=40),
        start_time=start,
        app_id=APP_ID,
        app_secret=APP_SECRET,
        tokens=(TokenSpec(token=TOKEN, expires_at=int(hour_of(16, 6).timestamp())),),
        any_token=False,
    )
    inbox = Inbox()
    settings = {
        "META_ACCESS_TOKEN": "",
        "META_APP_ID": APP_ID,
        "META_APP_SECRET": APP_SECRET,
        "META_APP_VERIFY_TOKEN": "fortnight",
        "META_ADS_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "META_ADS_ALERT_URLS": inbox.url,
        "META_ADS_SCHEDULES_ON": "true",
        "META_ADS_NEW_ACCOUNT_DAYS": str(HISTORY_DAYS),
        "PERFORMANCE_SYNC_INTERVAL_MINUTES": str(chosen.every),
        "META_SYNC_INTERVAL_MINUTES": "1440",
        "META_ADS_RECENT_REFRESHES_PER_DAY": "1",
        "META_ADS_REACH": str(chosen.reach),
    }
    with (
        tempfile.TemporaryDirectory(prefix="fortnight-", ignore_cleanup_errors=True) as place,
        SimulatorServer(config) as simulator,
        inbox.open(),
        simulated_daemon(
            Path(place) / "home", simulator, FIRST - timedelta(days=30), start, **settings
        ) as daemon,
        http_service(Path(place) / "home") as service,
    ):
        of = Fortnight(daemon, inbox)
        of.begin_with(days.start)
        connect(daemon, service.url)
        problems = follow(of, days, partial(print, flush=True))
        print(
            f"{len(days)} days, {daemon.runs} runs, {of.calls():,} calls,"
            f" {len(inbox.messages)} messages in {time.monotonic() - started:.0f} s;"
            f" {len(problems)} problems"
        )
        for each in (*problems[:40], *daemon.failed):
            print(f"    {each}")
        if problems:
            print((Path(place) / "home" / "sync.log").read_text()[-4000:], file=sys.stderr)
    return not problems


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

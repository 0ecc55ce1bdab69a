"""Ten thousand webhook changes at once, most of what can be wrong with them, and a SIGKILL.

    python -m benchmarks.webhook_storm --changes 10000

Deliveries as Meta makes them: several changes a request, out of order, many more than once; between
them forged signatures, bodies over the limit, signed bodies that are no JSON, changes of unknown
shapes. `meta-ads serve` is killed in the middle; like Meta, the sender repeats what was not
answered with 200. Afterwards the database is counted: each change once, each refusal once, nothing
else.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from benchmarks.ports import free_port
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.serving.webhooks import LARGEST_BODY

SECRET, ACCOUNT = "storm secret", "2816419471713485"
SENDERS = 8
MOST_SECONDS = 600.0
KINDS = {"ok": 200, "forged": 403, "oversize": 413, "malformed": 200}
"""What is delivered, and the answer that ends its delivery."""


@dataclass(frozen=True)
class Delivery:
    """One request, and which kind it is."""

    kind: str
    body: bytes
    signature: str


@dataclass
class StormReport:
    """``problems`` empty is the proof; latencies in milliseconds are of answered requests."""

    changes: int
    requests: int = 0
    repeated: int = 0
    seconds: float = 0.0
    down_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line of figures."""
        ordered = sorted(self.latencies)
        p50, p95, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.95, 0.99))
        counts = ", ".join(f"{number} {name}" for name, number in self.counted.items())
        return (
            f"{self.changes} distinct changes in {self.requests} requests ({self.repeated} repeated"
            f" after the kill) in {self.seconds:.1f} s, {self.down_seconds:.1f} s of it without a "
            f"receiver; answers p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, longest "
            f"{ordered[-1]:.0f} ms; stored: {counts}; {len(self.problems)} problems"
        )


def signed(body: bytes, kind: str) -> Delivery:
    """The delivery of a body, signed as Meta signs unless it is to be a forgery."""
    key = "another secret" if kind == "forged" else SECRET
    digest = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    return Delivery(kind, body, f"sha256={digest}")


def change(number: int) -> dict[str, Any]:
    """One change of a shape that Meta documents, or in one of ten cases of none."""
    object_id = str(10**14 + number)
    shapes: list[tuple[str, dict[str, Any]]] = [
        ("field_changed", {"object_id": object_id, "object_type": "ad"}),
        ("with_issues_ad_objects", {"id": object_id, "level": "AD_SET", "error_code": "567"}),
        ("in_process_ad_objects", {"id": object_id, "level": "AD", "status_name": "Paused"}),
        ("creative_fatigue", {"adgroup_id": object_id, "creative_fatigue_level": "HIGH"}),
    ]
    if number % 10 == 9:
        return {"field": "not_known_yet", "value": {"number": number, "text": "\ud800 \u00e4"}}
    name, value = shapes[number % len(shapes)]
    return {"field": name, "value": value}


def deliveries(changes: int, chance: random.Random) -> tuple[list[Delivery], dict[str, int]]:
    """Every request in the order it is sent, and what the database must hold in the end."""
    made: list[Delivery] = []
    numbers = list(range(changes))
    chance.shuffle(numbers)
    while numbers:
        size = chance.randint(1, 25)
        several, numbers = numbers[:size], numbers[size:]
        entry = {"id": ACCOUNT, "time": 1_782_862_117, "changes": [change(n) for n in several]}
        made.append(signed(json.dumps({"object": "ad_account", "entry": [entry]}).encode(), "ok"))
    sent = len(made)
    made += chance.sample(made, sent // 3)  # delivered twice
    made += [signed(each.body, "forged") for each in chance.sample(made[:sent], sent // 5)]
    made += [signed(b"{" + b" " * LARGEST_BODY + b"}", "oversize") for _ in range(10)]
    made += [signed(b'{"object": "ad_account", "entry": %d' % i, "malformed") for i in range(9)]
    chance.shuffle(made)
    stored = {json.dumps(c) for d in made if d.kind == "ok" for c in _changes(d.body)}
    expected = {
        "webhook_events": len(stored),
        "kept": sum("not_known_yet" in text for text in stored),
        "dead_letters": 9,
        "bad signature": sent // 5,
        "too large": 10,
    }
    return made, expected


def _changes(body: bytes) -> list[Any]:
    return list(json.loads(body)["entry"][0]["changes"])


class Receiver:
    """`meta-ads serve`, which may be killed and started again."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self._environment, self._port = environment, port
        self.url = f"http://127.0.0.1:{port}/webhooks/meta"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "meta_ads_pipeline.cli", "serve", "--port", str(self._port)],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                requests.get(self.url, timeout=5)
                return process
            except requests.RequestException:  # a busy machine answers late
                time.sleep(0.1)
        process.kill()
        raise RuntimeError("meta-ads serve did not start")

    def kill_and_restart(self) -> None:
        """SIGKILL, then a new one."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()


def storm(changes: int, seed: int) -> StormReport:
    """Send it all to a receiver of its own, kill that once, count."""
    todo, expected = deliveries(changes, random.Random(seed))
    report = StormReport(expected["webhook_events"], requests=len(todo))
    with tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        server = EmbeddedPostgres(home)
        database = Database(server.start(), server=server)
        database.migrate()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("META_")}
        settings = {"META_APP_SECRET": SECRET, "META_ADS_HOME": str(home)}
        receiver = Receiver({**kept, **settings}, free_port())
        started = time.monotonic()
        _send(todo, receiver, report)
        report.seconds = time.monotonic() - started
        receiver.process.terminate()
        receiver.process.wait(30)
        report.counted = _count(database)
        database.dispose()
        server.release()
    for name, number in expected.items():
        found = report.counted.get(name, 0)
        # A refusal is counted and then answered: an answer lost in the kill is counted again.
        if found != number and not (
            name in {"bad signature", "too large"} and 0 < found - number <= report.repeated
        ):
            report.problems.append(f"{name}: {found}, expected {number}")
    return report


def _send(todo: list[Delivery], receiver: Receiver, report: StormReport) -> None:
    waiting: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
    for each in todo:
        waiting.put(each)
    lock, deadline = threading.Lock(), time.monotonic() + MOST_SECONDS

    def sender() -> None:
        session = requests.Session()
        while time.monotonic() < deadline:
            try:
                delivery = waiting.get_nowait()
            except queue.Empty:
                return
            status = 0
            while status != KINDS[delivery.kind] and time.monotonic() < deadline:
                begun = time.monotonic()
                try:
                    status = session.post(
                        receiver.url,
                        data=delivery.body,
                        headers={"X-Hub-Signature-256": delivery.signature},
                        timeout=30,
                    ).status_code
                except requests.RequestException:
                    status = 0
                with lock:
                    if status == KINDS[delivery.kind]:
                        report.latencies.append((time.monotonic() - begun) * 1000)
                        continue
                    report.repeated += 1
                time.sleep(0.2)

    threads = [threading.Thread(target=sender) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    while len(report.latencies) < len(todo) / 2:
        time.sleep(0.01)
    down = time.monotonic()
    receiver.kill_and_restart()
    report.down_seconds = time.monotonic() - down
    for thread in threads:
        thread.join()
    if len(report.latencies) != len(todo):
        report.problems.append(f"{len(todo) - len(report.latencies)} requests were never accepted")


def _count(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        events = connection.execute(
            "select count(*) as webhook_events, count(*) filter (where status = 'kept') as kept,"
            " (select count(*) from control.dead_letters) as dead_letters"
            " from control.webhook_events"
        ).fetchone()
        refused = connection.execute(
            "select outcome, sum(requests)::int as n from control.webhook_requests"
            " where outcome <> 'accepted' group by 1"
        ).fetchall()
    assert events is not None
    return {**events, **{row["outcome"]: row["n"] for row in refused}}


def main(arguments: list[str] | None = None) -> bool:
    """Whether everything was stored exactly once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments or [])
    report = storm(chosen.changes, chosen.seed)
    print(report.line())
    for problem in report.problems:
        print(f"  {problem}")
    return not report.problems


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)

"""Posted facts: 20,000 rows a second sustained, in batches, on two cores; memory stays flat.

Two senders post batches of 5,000 hourly facts (gzip, NDJSON) of ads of their own for half a minute.
The clients run on the same cores; their batches are made beforehand.
"""

from __future__ import annotations

import gzip
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from benchmarks.http_service import HttpService, http_service

TARGET_ROWS_PER_SECOND = 20_000
MOST_GROWTH_MEGABYTES = 100
SECONDS = 30
SENDERS = 2
BATCH = 5_000
_ADS = 250


def main() -> bool:
    """Run it; whether the targets were met."""
    with http_service() as service:
        batches = [[_batch(sender, n) for n in range(200)] for sender in range(SENDERS)]
        _post(service, [_batch(9, 0)], time.monotonic() + SECONDS)
        before = service.megabytes
        started = time.monotonic()
        sent: list[int] = []
        threads = [
            threading.Thread(
                target=lambda own=own: sent.append(_post(service, own, started + SECONDS))
            )
            for own in batches
        ]
        for thread in threads:
            thread.start()
        memory = []
        while any(thread.is_alive() for thread in threads):
            time.sleep(1)
            memory.append(service.megabytes)
        seconds = time.monotonic() - started
        with service.database.connect() as connection:
            row = connection.execute("select count(*) as n from raw.ingested_facts").fetchone()
    assert row is not None
    rate = sum(sent) / seconds
    grown = max(memory) - memory[len(memory) // 4]
    print(
        f"{sum(sent):,} rows in {seconds:.1f} s: {rate:,.0f} rows/s (target"
        f" {TARGET_ROWS_PER_SECOND:,}); {row['n']:,} facts are there"
    )
    print(f"memory of the service: {before:.0f} MB before, {memory[-1]:.0f} MB at the end,"
          f" {grown:+.0f} MB at most after the first quarter")  # fmt: skip
    return rate >= TARGET_ROWS_PER_SECOND and grown <= MOST_GROWTH_MEGABYTES


def _post(service: HttpService, batches: list[bytes], until: float) -> int:
    headers = {
        **service.headers,
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
    }
    rows = 0
    with httpx.Client(base_url=service.url, headers=headers, timeout=60) as client:
        for body in batches:
            if time.monotonic() > until:
                break
            answer = client.post("/workspaces/default/metrics/ingest", content=body)
            answer.raise_for_status()
            counts = orjson.loads(answer.content)
            assert counts["inserted"] == BATCH, counts["detail"]
            rows += BATCH
    return rows


def _batch(sender: int, number: int) -> bytes:
    """5,000 hours of 250 ads; each batch is about hours of its own."""
    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    hours = BATCH // _ADS
    lines = []
    for hour in range(hours):
        at = (last - timedelta(hours=number * hours + hour)).isoformat()
        lines += [
            orjson.dumps(
                {
                    "provider": "google", "level": "ad", "external_entity_id": f"{sender}4{ad:03}",
                    "account_id": f"{sender}1", "campaign_id": f"{sender}2{ad % 10}",
                    "adset_id": f"{sender}3{ad % 50}", "event_at": at, "currency": "EUR",
                    "spend": f"{ad}.{hour:02}", "impressions": 1000 + ad, "clicks": ad,
                    "link_clicks": ad // 2,
                }
            )
            for ad in range(_ADS)
        ]  # fmt: skip
    return gzip.compress(b"\n".join(lines), 1)

"""A run whose calls wait says so in its log, once for each end."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.raw.waits_told import waits_told


def test_the_own_cap_is_told_once_with_its_end(database: Database) -> None:
    first = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=20)
    with database.connect() as connection:
        connection.execute(
            "insert into control.call_counts (connection, minute, use_case, calls, wasted)"
            " values ('somebody', %s, 'insights', 60, 0)",
            [first],
        )
    lines: list[str] = []
    seen = threading.Event()

    def tell(line: str) -> None:
        lines.append(line)
        seen.set()

    with waits_told(database, BudgetRules(calls_per_hour=60), tell, every=0.01) as told:
        assert seen.wait(30)
        with database.connect() as connection:  # some looks more
            connection.execute("select pg_sleep(0.1)")
    (line,) = lines
    assert "60 of 60 calls an hour are used (META_ADS_CALLS_PER_HOUR)" in line
    assert f"{first + timedelta(minutes=61):%Y-%m-%d %H:%M} UTC" in line
    assert list(told) == ["connection somebody"]

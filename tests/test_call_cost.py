"""What pulls cost in calls, and what a block costs: counted by the simulator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from benchmarks.call_cost import INSIGHTS, Scene, measure
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.config import RetryPolicy
from meta_ads_pipeline.rate_limit.limiter import PostgresRateLimiter
from meta_ads_pipeline.raw.context import PullContext, SliceReport
from meta_ads_pipeline.raw.fan_out import Pulled
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer
from tests.rate_limit.limiters import spent
from tests.raw.one_pull import for_each_account


def test_pulls_cost_the_fewest_calls(
    database: Database, client: MetaAdsClient, simulator: SimulatorServer
) -> None:
    """The same as the benchmark, smaller: 28 days of 6 ads."""
    account = pull_ad_accounts(database, client, ctx=PullContext("accounts", "run"))[0]
    scene = Scene(database, client, simulator, account)
    days, hours, rest, recent, today, whole_job = measure(scene, days=28)
    assert days.calls == 1
    assert hours.calls <= 1.2 * hours.fewest
    assert rest.calls <= rest.fewest
    assert recent.calls == 1 + 3 + 1  # the window's days, three days' hours, the totals
    assert today.calls == 3
    # The account besides; new entities by id (none here), no list.
    assert whole_job.calls == 1 + 3


class SimulatedTime:
    """The simulator's clock for the client: whoever sleeps moves it to where the sleep ends."""

    def __init__(self, simulator: SimulatorServer) -> None:
        self._control = simulator.control
        self._control.set_clock_speed(0)
        self._now = self._control.now().timestamp()
        self._lock = threading.Lock()
        self.asleep, self.may_pass = threading.Event(), threading.Event()

    def __call__(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        end = self() + seconds
        self.asleep.set()
        assert self.may_pass.wait(60)
        with self._lock:
            if end > self._now:
                self._control.advance_clock(end - self._now)
                self._now = end


@pytest.fixture
def own_simulator() -> Iterator[SimulatorServer]:
    """One whose clock may be moved without harm to other tests."""
    with SimulatorServer(SimulatorConfig(port=0, accounts=3, ads=4)) as server:
        yield server


@pytest.mark.parametrize("has_hints", [True, False], ids=["with-hints", "without-hints"])
def test_a_block_of_forty_minutes_costs_a_call_per_hint_and_no_other_account(
    database: Database, own_simulator: SimulatorServer, has_hints: bool
) -> None:
    control, time = own_simulator.control, SimulatedTime(own_simulator)
    rate_limiter = PostgresRateLimiter(
        database, app="app", connection_id="c1", clock=time, sleep=time.sleep
    )
    with MetaAdsClient(
        access_token=DEFAULT_TOKEN,
        graph_url=own_simulator.url,
        rate_limiter=rate_limiter,
        retry_policy=RetryPolicy(),
        clock=time,
        sleep=time.sleep,
    ) as client:
        accounts = pull_ad_accounts(database, client, ctx=PullContext("accounts", "run"))
        blocked = accounts[0]
        today = control.now().astimezone(ZoneInfo(blocked.timezone)).date()
        dates = [today - timedelta(days=back) for back in (3, 2, 1)]
        if not has_hints:
            control.add_fault("no_usage_headers")
        control.add_fault(
            "rate_limit",
            match={"account": blocked.account_id},
            times=1,
            code=17,
            subcode=2446079,
            seconds=2400,
        )
        began = time()
        ended: dict[str, float] = {}

        def work(account: object) -> list[SliceReport]:
            reports = []
            for asset in INSIGHTS:
                reports += pull_insights(
                    database, client, account, asset, dates, PullContext("sync", "run")
                )
            ended[account.account_id] = time()
            return reports

        results: list[list[SliceReport]] = []
        first = threading.Thread(target=lambda: results.append(work(blocked)))
        first.start()
        # Time stands still while the blocked account waits: the others are pulled meanwhile.
        assert time.asleep.wait(60)
        assert len(control.state()["blocks"]) == 1
        others: Pulled = for_each_account(accounts[1:], work, 2)
        assert len(control.state()["blocks"]) == 1
        assert blocked.account_id not in ended
        time.may_pass.set()
        first.join(timeout=60)
    assert not others.failures
    assert all(ended[account.account_id] == began for account in accounts[1:])
    assert len(results[0]) == 9
    calls = [c for c in control.calls() if c["account_id"] == blocked.account_id]
    refused = [call for call in calls if call["status"] == 400]
    assert ended[blocked.account_id] - began >= 2400
    if has_hints:  # Meta's own, that the block lasts 2,400 s
        assert len(refused) == 1
    else:  # 30 s doubled up to 600 s
        assert 4 <= len(refused) <= 8
    gaps = [b["at"] - a["at"] for a, b in pairwise(refused)]
    assert all(gap >= 29 for gap in gaps)
    assert len(calls) - len(refused) == 3
    rate_limiter.flush()
    assert spent(database)[1] == len(refused)
    assert list_open_alerts(database) == []  # the block's alert went with it
    truth = control.truth(blocked.account_id, dates[0], dates[-1])
    with database.connect() as connection:
        landed = connection.execute(
            "select sum(impressions)::int as n from raw.insights_hourly where account_id = %s",
            [blocked.account_id],
        ).fetchone()
    assert landed == {"n": sum(int(row["impressions"]) for row in truth)}

"""Reports outlive the process that started them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.report_runs import KEPT, PostgresJobStore
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.report_memory import StoredJob
from meta_ads_pipeline.meta_api.request_planner import PlanLimits
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.server import SimulatorServer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AS_REPORTS = PlanLimits(sync_rows=0, job_days=5)


class Killed(BaseException):
    """What ends a process at any point."""


def test_a_run_is_found_again_until_it_is_read_or_forgotten_by_meta(database: Database) -> None:
    store, later = PostgresJobStore(database), PostgresJobStore(database)
    store.save("a", StoredJob("1", NOW - KEPT - timedelta(days=1)))
    assert later.find("a") is not None
    store.save("b", StoredJob("2", NOW))
    assert later.find("a") is None
    later.save("b", StoredJob("3", NOW))
    assert store.find("b") == StoredJob("3", NOW)
    store.remove("b")
    assert later.find("b") is None


def test_a_restart_reads_the_reports_that_were_started(
    database: Database, simulator: SimulatorServer
) -> None:
    control = simulator.control
    account_id = str(control.state()["accounts"][0]["id"]).removeprefix("act_")

    def client(sleep) -> MetaAdsClient:
        return MetaAdsClient(
            access_token=DEFAULT_TOKEN,
            graph_url=simulator.url,
            job_store=PostgresJobStore(database),
            plan_limits=AS_REPORTS,
            sleep=sleep,
        )

    def killed(_seconds: float) -> None:
        raise Killed

    with client(killed) as doomed:
        document = doomed.get_account(account_id)
        account = AccountRef(account_id, document["timezone_name"], document["currency"])
        end = control.now().astimezone(ZoneInfo(account.timezone)).date() - timedelta(days=1)
        start = end - timedelta(days=9)
        with pytest.raises(Killed):
            doomed.get_insights(account, start, end, level="ad", grain="hour")
    assert control.stats()["by_method"]["POST"] == 2
    with client(time.sleep) as restarted:
        result = restarted.get_insights(account, start, end, level="ad", grain="hour")
    assert control.stats()["by_edge"]["insights_async"] == 2  # no report was started again
    truth = control.truth(account_id, start, end)
    assert sum(int(row.get("impressions", 0)) for row in result.rows) == sum(
        int(row["impressions"]) for row in truth
    )
    with database.connect() as connection:
        assert connection.execute("select * from control.report_runs").fetchall() == []

"""Reports outlive the process that started them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.report_runs import KEPT, PostgresReportStore
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits
from meta_ads_pipeline.meta_api.report_memory import StoredReport
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.server import SimulatorServer
from tests.insights_reading import read_insights

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AS_REPORTS = PlanLimits(sync_rows=0, report_days=5)


class Killed(BaseException):
    """What ends a process at any point."""


def test_a_run_is_found_again_until_it_is_read_or_forgotten_by_meta(database: Database) -> None:
    store, later = PostgresReportStore(database), PostgresReportStore(database)
    store.save("a", StoredReport("1", NOW - KEPT - timedelta(days=1)))
    assert later.find("a") is not None
    store.save("b", StoredReport("2", NOW))
    assert later.find("a") is None
    later.save("b", StoredReport("3", NOW))
    assert store.find("b") == StoredReport("3", NOW)
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
            report_store=PostgresReportStore(database),
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
            read_insights(doomed, account, start, end, level="ad", grain="hour")
    assert control.stats()["by_method"]["POST"] == 2
    with client(time.sleep) as restarted:
        result = read_insights(restarted, account, start, end, level="ad", grain="hour")
    assert control.stats()["by_edge"]["insights_async"] == 2  # no report was started again
    truth = control.truth(account_id, start, end)
    assert sum(int(row.get("impressions", 0)) for row in result.rows) == sum(
        int(row["impressions"]) for row in truth
    )
    with database.connect() as connection:
        assert connection.execute("select * from control.report_runs").fetchall() == []

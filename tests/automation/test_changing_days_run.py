"""A run of the adaptive refresh pulls the chosen days of each account, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from meta_ads_pipeline.control import refresh_decisions
from meta_ads_pipeline.control.refresh_decisions import Decision
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw.assets import SYNC_TAG, raw_assets
from meta_ads_pipeline.raw.context import REFRESH_CHANGING, REFRESH_TAG, PullContext
from meta_ads_pipeline.raw.pull import pull_ad_accounts, pull_insights
from meta_ads_pipeline.resources import MetaAdsResource
from meta_ads_pipeline.windows import local_today
from meta_graph_simulator.config import DEFAULT_TOKEN
from tests.automation.conftest import GivenDatabase

PASS = "5f0c9f5e-5f57-5b9e-9a3c-2f6d6a1f0f11"
INSIGHTS = ("insights_daily", "insights_hourly", "account_totals")
LOAD = PullContext("load", "run-1")


class SimulatedMeta(MetaAdsResource):
    """The simulator instead of what the settings name."""

    url: str

    def client_for(self, account_id: str) -> MetaAdsClient:
        return MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=self.url)


@pytest.fixture
def chosen(database, client, simulator):
    """Two accounts with a week each; a day of each is chosen, and one corrected meanwhile."""
    accounts = pull_ad_accounts(database, client, ctx=LOAD)[:2]
    today = min(local_today(a.timezone, simulator.control.now()) for a in accounts)
    days = [today - timedelta(days=back) for back in range(7, 0, -1)]
    with database.connect() as connection:
        connection.execute(
            "update control.ad_accounts set is_active = account_id = any(%s)",
            [[a.account_id for a in accounts]],
        )
    for account in accounts:
        for asset in INSIGHTS:
            pull_insights(database, client, account, asset, days, LOAD)
    picked = {accounts[0].account_id: [days[6], days[2]], accounts[1].account_id: [days[5]]}
    now = datetime.now(UTC)
    decisions = [
        Decision(a.account_id, day, now, 0.1, None, 2.0, day in picked[a.account_id], "test")
        for a in accounts
        for day in days
    ]
    with database.connect() as connection:
        refresh_decisions.record(connection, PASS, now, decisions)
    simulator.control.restate(accounts[0].account_id, [days[2], days[3]], "1.5")
    simulator.control.reset("stats")
    return picked, days


def test_the_chosen_days_are_pulled_and_their_calls_counted(
    database, simulator, instance, chosen
) -> None:
    picked, days = chosen
    job = dg.define_asset_job(
        "refresh", selection=dg.AssetSelection.assets(*(["raw", name] for name in INSIGHTS))
    )
    definitions = dg.Definitions(
        assets=raw_assets,
        jobs=[job],
        resources={
            "database": GivenDatabase(url=database.url),
            "meta": SimulatedMeta(url=simulator.url),
        },
        executor=dg.in_process_executor,
    )
    result = definitions.resolve_job_def("refresh").execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": days[0].isoformat(),
            "dagster/asset_partition_range_end": days[-1].isoformat(),
            REFRESH_TAG: REFRESH_CHANGING,
            SYNC_TAG: PASS,
        },
    )
    assert result.success
    with database.connect() as connection:
        pulled = connection.execute(
            "select account_id, partition_date, count(*) as assets from control.slices"
            " where sync_id = %s and status = 'done' group by 1, 2",
            [PASS],
        ).fetchall()
        decided = connection.execute("select * from control.refresh_decisions").fetchall()
        changed = connection.execute(
            "select distinct event_date, asset from raw.insights_changes order by 2"
        ).fetchall()
    assert {(row["account_id"], row["partition_date"]): row["assets"] for row in pulled} == {
        (account_id, day): 3 for account_id, found in picked.items() for day in found
    }
    # The corrected day that was not chosen waits for the daily refresh.
    assert changed == [{"event_date": days[2], "asset": asset} for asset in sorted(INSIGHTS)]
    # Three windows of days and of totals, and the hours of the corrected day.
    assert simulator.control.stats()["calls"] == 7
    assert sum(row["calls"] for row in decided) == 7
    assert {row["is_chosen"] for row in decided if row["calls"]} == {True}

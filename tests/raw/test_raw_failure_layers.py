"""Each kind of failure, through every layer: how often Meta is asked, and what the slice says.

HTTP, the asset's op and the run are each able to retry; only what may pass by itself is tried
again, by one of them, and no more than three times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.storage.tags import WILL_RETRY_TAG

from meta_ads_pipeline.control.retry_delays import FIRST_DELAY, NEEDS_A_PERSON_DELAY
from meta_ads_pipeline.partitions import daily_partitions, single_run
from meta_ads_pipeline.raw import assets
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import PROJECT_ROOT
from meta_graph_simulator.config import DEFAULT_TOKEN
from tests.dagster_instance import persistent_instance

DAY = datetime.now(UTC).date() - timedelta(days=40)
ASSET = "account_totals"  # one call for all of a day


@dataclass(frozen=True)
class _Outcome:
    """A run, and the instance that remembers it."""

    result: dg.ExecuteInProcessResult
    instance: dg.DagsterInstance

    @property
    def success(self) -> bool:
        return self.result.success


class GivenDatabase(DatabaseResource):
    url: str

    @cached_property
    def database(self) -> Any:
        from meta_ads_pipeline.control.database import Database

        return Database(self.url)


@pytest.fixture
def account_id(simulator):
    return str(simulator.control.state()["accounts"][0]["id"]).removeprefix("act_")


@pytest.fixture
def account_ids(account_id):
    """Those that the settings name; a test may name more."""
    return [account_id]


@pytest.fixture
def materialize(database, simulator, account_ids):
    """Materialize the asset as a run of the job does, on an instance with the project's retries."""

    class GivenClient(MetaAdsResource):
        @cached_property
        def clients(self) -> Any:
            from meta_ads_pipeline.credentials.clients import clients_for
            from meta_ads_pipeline.credentials.connections import register_environment
            from meta_ads_pipeline.settings import Settings

            settings = Settings(META_GRAPH_URL=simulator.url, META_ACCESS_TOKEN=DEFAULT_TOKEN)
            register_environment(database, settings)
            return clients_for(settings, database, sleep=lambda _: None)

        @property
        def account_ids(self) -> list[str]:
            return account_ids

    project = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text())
    resources = {"database": GivenDatabase(url=database.url), "meta": GivenClient()}

    def materialize(
        instance: dg.DagsterInstance, *more: dg.AssetsDefinition, day: date = DAY
    ) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [assets.ad_accounts, assets.pulls, *more],
            selection=dg.AssetSelection.assets(
                assets.ad_accounts.key, ["raw", ASSET], *(each.key for each in more)
            ),
            partition_key=day.isoformat(),
            resources=resources,
            instance=instance,
            raise_on_error=False,
        )

    with persistent_instance({"run_retries": project["run_retries"]}) as instance:
        assert instance.run_retries_enabled
        yield lambda *more: _Outcome(materialize(instance, *more), instance)


def insights_calls(simulator) -> int:
    return sum(call["edge"] == "insights" for call in simulator.control.calls())


def the_slice(database) -> dict[str, Any]:
    with database.connect() as connection:
        rows = connection.execute("select * from control.slices where asset = %s", [ASSET])
        return rows.fetchone()


@dg.asset(
    key=["marts", "built"],
    deps=[["raw", ASSET]],
    partitions_def=daily_partitions,
    backfill_policy=single_run,
)
def built(context: dg.AssetExecutionContext, database: DatabaseResource) -> Iterator[Any]:
    """Ends as the step of the marts does."""
    yield dg.Output(None)
    assets.fail_for_what_was_not_pulled(context, database)


def test_marts_of_a_run_without_the_sync_s_results_are_built_and_the_run_is_red(
    simulator, materialize
):
    simulator.control.add_fault("error", match={"edge": "insights"}, code=200, message="no")
    outcome = materialize(built)
    assert not outcome.success
    failed = [event.step_key for event in outcome.result.get_step_failure_events()]
    assert failed == ["marts__built"]
    assert [e.asset_key.path for e in outcome.result.get_asset_materialization_events()][-1] == [
        "marts",
        "built",
    ], "built all the same"
    simulator.control.reset()
    assert materialize(built).success


def test_another_run_over_a_date_asks_for_the_account_that_it_lacks(
    database, simulator, materialize, account_ids
):
    """Whoever launches the missing partitions again pays for what is missing."""
    lost, *others = [a["id"].removeprefix("act_") for a in simulator.control.state()["accounts"]]
    account_ids[:] = [lost, *others]
    simulator.control.add_fault("account_refused", account=lost, match={"edge": "insights"})
    assert not materialize().success
    simulator.control.clear_faults()
    simulator.control.reset("stats")
    assert materialize().success
    asked = [call for call in simulator.control.calls() if call["edge"] == "insights"]
    assert {call["account_id"] for call in asked} == {lost}
    with database.connect() as connection:
        rows = connection.execute(
            "select status, count(*)::int as n from control.slices where asset = %s group by 1",
            [ASSET],
        ).fetchall()
    assert rows == [{"status": "done", "n": 1 + len(others)}]


_PARTS_TRIED = 3
"""Calls where a part of the request may be what is refused: all, the least there is, and again."""

PERMANENT = [
    ("token", {"subcode": 460}, "auth", NEEDS_A_PERSON_DELAY, 1),
    (
        "error",
        {"code": 200, "message": "(#200) no permission"},
        "permission",
        NEEDS_A_PERSON_DELAY,
        _PARTS_TRIED,
    ),
    ("error", {"code": 100, "subcode": 33}, "permission", NEEDS_A_PERSON_DELAY, _PARTS_TRIED),
    ("error", {"code": 2635, "message": "version switched off"}, "invalid", None, 1),
    ("error", {"code": 99999, "message": "never heard of"}, "invalid", None, _PARTS_TRIED),
]


@pytest.mark.parametrize(("fault", "params", "kind", "delay", "calls"), PERMANENT)
def test_what_is_permanent_is_not_tried_again(
    database, simulator, materialize, fault, params, kind, delay, calls
):
    simulator.control.add_fault(fault, match={"edge": "insights"}, **params)
    result = materialize()
    assert not result.success
    assert insights_calls(simulator) == calls
    row = the_slice(database)
    assert (row["status"], row["error_kind"], row["attempts"]) == ("failed", kind, 1)
    if delay is None:
        assert row["next_attempt_at"] is None
    else:
        waits = row["next_attempt_at"] - row["finished_at"]
        assert abs(waits - delay) < timedelta(seconds=2)
    assert_no_other_layer_retries(result)


TRANSIENT = [
    ("transient", {"code": 2, "http_status": 500}),
    ("transient", {"code": 1, "http_status": 503}),
    ("html", {"http_status": 502}),
    ("reset", {"fraction": 0.5}),
    ("truncate", {"fraction": 0.5}),
]


@pytest.mark.parametrize(("fault", "params"), TRANSIENT)
def test_the_same_transient_failure_is_asked_three_times_then_parked(
    database, simulator, materialize, fault, params
):
    simulator.control.add_fault(fault, match={"edge": "insights"}, **params)
    result = materialize()
    # A server error may be Meta's way to say "too much": the smallest page is tried as well.
    assert insights_calls(simulator) == (6 if fault in {"transient", "html"} else 3)
    row = the_slice(database)
    assert (row["status"], row["error_kind"], row["attempts"]) == ("parked", "transient", 1)
    first_wait = row["next_attempt_at"] - row["finished_at"]
    assert abs(first_wait - FIRST_DELAY) < timedelta(seconds=2)
    assert_no_other_layer_retries(result)
    materialize()
    row = the_slice(database)
    assert row["attempts"] == 2
    assert abs(row["next_attempt_at"] - row["finished_at"] - 2 * FIRST_DELAY) < timedelta(seconds=2)
    simulator.control.clear_faults()
    assert materialize().success
    row = the_slice(database)
    assert (row["status"], row["next_attempt_at"], row["error_kind"]) == ("done", None, None)


def test_two_failures_of_a_moment_cost_two_calls_and_nothing_else(database, simulator, materialize):
    simulator.control.add_fault("transient", match={"edge": "insights"}, code=2, times=2)
    assert materialize().success
    assert insights_calls(simulator) == 3
    assert the_slice(database)["attempts"] == 1


def test_a_dead_token_stops_every_later_call_of_the_run(database, simulator, materialize):
    simulator.control.add_fault("token", match={"edge": "me/adaccounts"}, subcode=463)
    before = simulator.control.stats()["calls"]
    assert not materialize().success
    assert insights_calls(simulator) == 0
    assert simulator.control.stats()["calls"] - before <= 2


def test_no_asset_has_a_retry_policy_of_its_own():
    for asset in assets.raw_assets:
        assert asset.op.retry_policy is None, asset.op.name


def assert_no_other_layer_retries(outcome: _Outcome) -> None:
    """Neither did the op ask for another try, nor will the run be made again."""
    assert not [event for event in outcome.result.all_events if event.is_step_up_for_retry]
    run = outcome.instance.get_run_by_id(outcome.result.run_id)
    assert run is not None
    assert run.tags[WILL_RETRY_TAG] == "false"

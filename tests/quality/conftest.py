"""A landed world, and the checks run on it as Dagster runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property

import dagster as dg
import pytest

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.partitions import daily_partitions, single_run
from meta_ads_pipeline.quality.catalogue import rule_of
from meta_ads_pipeline.quality.outcome import CheckOutcome
from meta_ads_pipeline.quality.runner import evaluate, quality_checks
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.windows import DateWindow
from tests.quality.landing import DAYS, NEW_YORK, TOKYO, Landing

Look = Callable[[str, str], CheckOutcome]
Results = Mapping[str, dg.AssetCheckEvaluation]
RunChecks = Callable[..., Results]


class GivenDatabase(DatabaseResource):
    """The database of the test instead of the one that the settings name."""

    url: str

    @cached_property
    def database(self) -> Database:
        return Database(self.url)


@pytest.fixture
def landing(database: Database) -> Iterator[Landing]:
    with database.connect(autocommit=True) as connection:
        yield Landing(database, connection)


@pytest.fixture
def world(landing: Landing) -> Landing:
    landing.everything()
    return landing


@pytest.fixture
def scope() -> CheckScope:
    window = DateWindow(DAYS[0], DAYS[-1])
    return CheckScope(window, (NEW_YORK, TOKYO), datetime(2026, 3, 20, tzinfo=UTC))


@pytest.fixture
def look(database: Database, scope: CheckScope) -> Look:
    """Evaluate one check of an asset over the scope: ``look("raw/ads", "schema")``."""

    def look(asset: str, name: str) -> CheckOutcome:
        return evaluate(database, rule_of(asset, name), asset, scope)

    return look


@pytest.fixture
def run_checks(database: Database) -> RunChecks:
    """Materialize assets that do nothing, with the real checks; by "asset: check".

    ``tags`` or ``partition_key`` say what is run, as for the sync job.
    """

    def run(
        *,
        partition_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        selection: dg.AssetSelection | None = None,
    ) -> Results:
        keys = {key.asset_key for checks in quality_checks for key in checks.check_keys}
        job = dg.define_asset_job("sync", selection=selection or dg.AssetSelection.all())
        definitions = dg.Definitions(
            assets=[_no_op(key) for key in sorted(keys)],
            asset_checks=quality_checks,
            jobs=[job],
            resources={
                "database": GivenDatabase(url=database.url),
                "meta": MetaAdsResource(),
            },
            executor=dg.in_process_executor,
        )
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def("sync").execute_in_process(
                instance=instance,
                partition_key=partition_key,
                tags=dict(tags or {}),
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        # A step fails over account-days that are missing or held; over nothing else.
        for failure in result.get_step_failure_events():
            said = failure.step_failure_data.user_failure_data
            assert said is not None, failure.step_failure_data.error
            assert "missing or held back" in (said.description or "")
        return {
            f"{e.asset_key.to_user_string()}: {e.check_name}": e
            for e in result.get_asset_check_evaluations()
        }

    return run


def _no_op(key: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.asset(key=key, partitions_def=daily_partitions, backfill_policy=single_run)
    def asset() -> None:
        pass

    return asset


def range_tags(start: str, end: str, **more: str) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": start,
        "dagster/asset_partition_range_end": end,
        **more,
    }


@pytest.fixture
def whole_range() -> dict[str, str]:
    return range_tags(DAYS[0].isoformat(), DAYS[-1].isoformat())

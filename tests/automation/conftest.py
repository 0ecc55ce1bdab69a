"""A Dagster instance, resources on the test's database, and runs to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.resources import DatabaseResource, MetaAdsResource
from meta_ads_pipeline.settings import get_settings
from tests.dagster_instance import persistent_instance

NEW_YORK = Account("1", "America/New_York", "USD")
TOKYO = Account("2", "Asia/Tokyo", "JPY")

ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("meta_ads_pipeline"), "__repository__"),
    "sync",
)
"""As of every run that a daemon or a webserver creates."""

AddRun = Callable[..., str]


class GivenDatabase(DatabaseResource):
    """The database of the test instead of the one that the settings name."""

    url: str

    @cached_property
    def database(self) -> Database:
        return Database(self.url)


class ChosenAccounts(MetaAdsResource):
    """As if META_AD_ACCOUNT_IDS named these."""

    chosen: list[str]

    @property
    def account_ids(self) -> list[str]:
        return self.chosen


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """One that persists: the context of a schedule opens it anew."""
    with persistent_instance() as instance:
        yield instance


@pytest.fixture
def resources(database: Database) -> dict[str, object]:
    return {"database": GivenDatabase(url=database.url), "meta": MetaAdsResource()}


@pytest.fixture
def two_accounts(database: Database) -> None:
    with database.connect() as connection:
        save_accounts(connection, [NEW_YORK, TOKYO])


@pytest.fixture
def add_run(instance: dg.DagsterInstance) -> AddRun:
    """Put a run into the instance; returns its id."""

    def add(status: dg.DagsterRunStatus, tags: Mapping[str, str], run_id: str = "") -> str:
        run = dg.DagsterRun(
            job_name="sync",
            run_id=run_id or None,
            status=status,
            tags=dict(tags),
            remote_job_origin=ORIGIN,
        )
        return instance.add_run(run).run_id

    return add


@pytest.fixture
def chosen_accounts() -> Callable[..., MetaAdsResource]:
    return lambda *ids: ChosenAccounts(chosen=list(ids))


@pytest.fixture
def new_account_days(monkeypatch):
    """Set META_ADS_NEW_ACCOUNT_DAYS for the test."""

    def new_account_days(days: int) -> None:
        monkeypatch.setenv("META_ADS_NEW_ACCOUNT_DAYS", str(days))
        get_settings.cache_clear()

    yield new_account_days
    monkeypatch.undo()
    get_settings.cache_clear()

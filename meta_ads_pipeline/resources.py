"""The Dagster resources: the database, and the clients of the Graph API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from meta_ads_pipeline.control.database import Database, export_environment, open_database
from meta_ads_pipeline.credentials.clients import ConnectedClients, clients_for
from meta_ads_pipeline.credentials.connections import MissingCredentialsError
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.run_workers import claimed
from meta_ads_pipeline.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence


class DatabaseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The pipeline's Postgres: ``META_ADS_DATABASE_URL``, or the embedded one."""

    @cached_property
    def database(self) -> Database:
        """The opened and migrated database; also told to dbt through the environment."""
        database = open_database(get_settings())
        export_environment(database)
        return database

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[DatabaseResource]:
        """For a run, have it known as this process's (``run_workers``)."""
        run = context.dagster_run
        if run is None:
            yield self
            return
        with claimed(self.database, context.instance, run.run_id):
            yield self


class MetaAdsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Meta's Marketing API, or the simulator, as connections and settings say."""

    @cached_property
    def clients(self) -> ConnectedClients:
        """A thread-safe client for every connection; that of ``META_ACCESS_TOKEN`` comes first.

        Raises ``MissingCredentialsError`` when there is no connection.
        """
        settings = get_settings()
        clients = clients_for(settings, open_database(settings, migrate=False))
        if not len(clients):
            raise MissingCredentialsError(
                "no access token: store one with `meta-ads connect`, set META_ACCESS_TOKEN (in the "
                "environment or .env), or try `meta-ads demo`"
            )
        return clients

    @property
    def client(self) -> MetaAdsClient:
        """The first usable connection's client. Raises ``MissingCredentialsError`` on none."""
        return self.clients.first.client

    def client_for(self, account_id: str) -> MetaAdsClient:
        """The client of the connection that reads this ad account (id without ``act_``).

        The client of a paused connection raises ``MetaApiError`` with the reason at each call.
        """
        return self.clients.client_for(account_id)

    @property
    def account_ids(self) -> Sequence[str]:
        """The ad accounts chosen by ``META_AD_ACCOUNT_IDS``; empty: all."""
        return get_settings().ad_account_ids

    @property
    def max_parallel_accounts(self) -> int:
        """How many accounts are pulled at once."""
        return max(1, get_settings().max_parallel_requests // 3)

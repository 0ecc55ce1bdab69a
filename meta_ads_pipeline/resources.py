"""The Dagster resources: the database, and the client of the Graph API."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from meta_ads_pipeline.control.database import Database, export_environment, open_database
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Sequence


class MissingCredentialsError(RuntimeError):
    """There is no token to read Meta with; the message says how to give one."""


class DatabaseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The pipeline's Postgres: ``META_ADS_DATABASE_URL``, or the embedded one."""

    @cached_property
    def database(self) -> Database:
        """The opened and migrated database; also told to dbt through the environment."""
        database = open_database(get_settings())
        export_environment(database)
        return database


class MetaAdsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Meta's Marketing API, or the simulator, as the settings say."""

    @cached_property
    def client(self) -> MetaAdsClient:
        """A thread-safe client. Raises ``MissingCredentialsError`` without a token."""
        return client_from_settings(get_settings())

    @property
    def account_ids(self) -> Sequence[str]:
        """The ad accounts chosen by ``META_AD_ACCOUNT_IDS``; empty: all."""
        return get_settings().ad_account_ids

    @property
    def max_parallel_accounts(self) -> int:
        """How many accounts are pulled at once."""
        return max(1, get_settings().max_parallel_requests // 2)


def client_from_settings(settings: Settings) -> MetaAdsClient:
    """The client that the settings describe.

    Raises ``MissingCredentialsError`` when no token is set.
    """
    if settings.access_token is None:
        raise MissingCredentialsError(
            "no access token: set META_ACCESS_TOKEN (in the environment or .env), or leave "
            "META_GRAPH_URL unset and use a meta-ads command, which starts the simulator"
        )
    return MetaAdsClient(
        access_token=settings.access_token.get_secret_value(),
        app_id=settings.app_id,
        app_secret=settings.app_secret.get_secret_value() if settings.app_secret else None,
        graph_url=settings.graph_url,
        api_version=settings.api_version,
    )

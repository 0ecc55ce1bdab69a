"""Pulls: from the API client to landed slices. Everything the raw assets call; no Dagster."""

from __future__ import annotations

from meta_ads_pipeline.raw.context import AdsReader, PullContext, SliceReport
from meta_ads_pipeline.raw.fan_out import FanOut, for_each_account
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_connected import ConnectedAccounts, pull_connected_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from meta_ads_pipeline.raw.pull_reach import pull_reach

__all__ = [
    "AdsReader",
    "ConnectedAccounts",
    "FanOut",
    "PullContext",
    "SliceReport",
    "for_each_account",
    "pull_ad_accounts",
    "pull_connected_accounts",
    "pull_entities",
    "pull_insights",
    "pull_reach",
]

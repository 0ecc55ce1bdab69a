"""The jobs: what is materialized together."""

from __future__ import annotations

import dagster as dg

from meta_ads_pipeline.insights_tables import REACH_TABLE
from meta_ads_pipeline.settings import get_settings
from meta_ads_pipeline.transform.dimensions import DIMENSIONS

_HAS_REACH = get_settings().reach
_REACH = dg.AssetSelection.assets(["raw", REACH_TABLE.asset])

sync_job = dg.define_asset_job(
    "sync",
    selection=dg.AssetSelection.all(),
    description="Pull, load, build and check the chosen dates for every active ad account.",
)

refresh_job = dg.define_asset_job(
    "refresh_insights",
    selection=dg.AssetSelection.all() - _REACH if _HAS_REACH else dg.AssetSelection.all(),
    description="The same without reach, which is requested once a day: see refresh_reach.",
)

reach_job = dg.define_asset_job(
    "refresh_reach",
    selection=_REACH | dg.AssetSelection.assets(["marts", "reach"], ["control", "sync_results"]),
    description="Pull reach, frequency and unique counts by level and period.",
)

_ENTITIES = ("ad_accounts", "campaigns", "adsets", "ads", "creatives", "custom_conversions")
entities_job = dg.define_asset_job(
    "refresh_entities",
    selection=dg.AssetSelection.assets(
        *(["raw", name] for name in _ENTITIES),
        *(["marts", name] for name in DIMENSIONS),
        ["control", "sync_results"],
    ),
    description="Pull accounts, campaigns, ad sets, ads and creatives, and build the dimensions.",
)

dimensions_job = dg.define_asset_job(
    "build_dimensions",
    selection=dg.AssetSelection.assets(*(["marts", name] for name in DIMENSIONS)),
    description="Build the dimensions from what is landed; no call to Meta.",
)

rebuild_job = dg.define_asset_job(
    "rebuild_history",
    selection=dg.AssetSelection.all() - dg.AssetSelection.key_prefixes("raw"),
    description="Build the marts of the chosen dates from what is landed; no call to Meta.",
)

_OF_FACTS = (
    # The verdict, too: by an older one, what has landed since would be taken unseen.
    *("reconciliation", "metric_facts", "conversions_daily"),
    *("account_hourly", "campaign_hourly"),
    *("account_daily", "campaign_daily", "adset_daily", "ad_daily"),
)
_AROUND_FACTS = ("int_meta__conversions", "int_meta__built_definitions")
ingested_job = dg.define_asset_job(
    "build_ingested",
    selection=dg.AssetSelection.assets(
        *(["marts", name] for name in _OF_FACTS),
        *(["intermediate", name] for name in _AROUND_FACTS),
    )
    # Not the check that has mismatches pulled again: what a refresh is landing, it judges itself.
    - dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey(["marts", "reconciliation"]), "reconciliation")
    ),
    description="Build the facts and rollups of dates that facts were posted for.",
)

jobs = [
    ingested_job,
    sync_job,
    dimensions_job,
    rebuild_job,
    refresh_job,
    entities_job,
    *([reach_job] if _HAS_REACH else []),
]

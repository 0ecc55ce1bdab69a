"""The jobs: what is materialized together."""

from __future__ import annotations

import dagster as dg

sync_job = dg.define_asset_job(
    "sync",
    selection=dg.AssetSelection.all(),
    description="Pull, load, build and check the chosen dates for every active ad account.",
)

_ENTITIES = ("ad_accounts", "campaigns", "adsets", "ads", "creatives")
_DIMENSIONS = (
    *("dim_ad_accounts", "dim_campaigns", "dim_adsets", "dim_ads", "dim_creatives"),
    *("entities", "entity_history"),
)
entities_job = dg.define_asset_job(
    "refresh_entities",
    selection=dg.AssetSelection.assets(
        *(["raw", name] for name in _ENTITIES), *(["marts", name] for name in _DIMENSIONS)
    ),
    description="Pull accounts, campaigns, ad sets, ads and creatives, and build the dimensions.",
)

jobs = [sync_job, entities_job]

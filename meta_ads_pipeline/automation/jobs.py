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
_dimensions = dg.AssetSelection.assets(*(["marts", name] for name in _DIMENSIONS))

entities_job = dg.define_asset_job(
    "refresh_entities",
    selection=dg.AssetSelection.assets(*(["raw", name] for name in _ENTITIES))
    # What dbt needs for the dimensions; not what is pulled.
    | (_dimensions.upstream() - dg.AssetSelection.groups("raw")),
    description="Pull accounts, campaigns, ad sets, ads and creatives, and build the dimensions.",
)

jobs = [sync_job, entities_job]

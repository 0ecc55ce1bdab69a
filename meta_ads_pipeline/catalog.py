"""What the pages of the catalog say beside what each asset says itself: owner, layer, lateness."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeAlias

import dagster as dg

from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.settings import PROJECT_ROOT, Settings, get_settings

OWNERS = ("team:meta-ads",)

_PAGES = PROJECT_ROOT / "docs" / "marts"
_LAYERS = {
    "raw": "landed",
    "control": "quality",
    "staging": "cleaned",
    "intermediate": "prepared",
    "marts": "published",
    "seeds": "lookup",
}

_EVERY_REFRESH = frozenset(
    {
        *(f"raw/{asset}" for asset in INSIGHTS_TABLES),
        *("marts/metric_facts", "marts/reconciliation", "marts/account_hourly"),
        *("marts/campaign_hourly", "marts/account_daily", "marts/campaign_daily"),
        *("marts/adset_daily", "marts/ad_daily"),
    }
)
"""What each refresh of today lands or builds."""

_EVERY_ENTITY_SYNC = frozenset({"raw/campaigns", "raw/adsets", "raw/ads", "raw/creatives"})
"""What each read of entities lands. Dimensions are built by other runs, too: they tell nothing."""

_ENTITY_SLACK = timedelta(minutes=75)
"""For the run itself, and for one that failed and is tried again."""

_FAILS_AFTER = 4
"""So many times the expected lag: until then an asset is late, from then on it is stale."""

Asset: TypeAlias = "dg.AssetsDefinition | dg.AssetSpec"


def with_entries(assets: Iterable[Asset]) -> list[Asset]:
    """The assets with their entries in the catalog."""
    return list(dg.map_asset_specs(entry, assets))


def entry(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The spec with an owner, its layer as a tag and, for a mart, its page of ``docs/marts``."""
    schema = spec.key.path[0]
    page = _PAGES / f"{spec.key.path[-1]}.md"
    metadata = {}
    if schema == "marts" and page.exists():
        metadata = {
            "page": dg.MetadataValue.md(page.read_text()),
            "page_file": dg.MetadataValue.path(str(page.relative_to(PROJECT_ROOT))),
        }
    policy = _freshness_policy(spec.key, get_settings())
    if policy is not None:
        spec = spec.replace_attributes(freshness_policy=policy)
    return spec.merge_attributes(
        owners=[] if spec.owners else OWNERS,
        tags={"meta_ads/layer": _LAYERS.get(schema, schema)},
        metadata=metadata,
    )


def _freshness_policy(key: dg.AssetKey, settings: Settings) -> dg.FreshnessPolicy | None:
    """When Dagster calls an asset late, where the schedules are on: as ``marts.freshness`` does,
    and entities when a read of them did not come.
    """
    if not settings.schedules_on:
        return None
    if key.to_user_string() in _EVERY_REFRESH:
        lag = timedelta(minutes=settings.expected_lag_minutes)
    elif key.to_user_string() in _EVERY_ENTITY_SYNC:
        lag = timedelta(minutes=settings.sync_interval_minutes) + _ENTITY_SLACK
    else:
        return None
    return dg.FreshnessPolicy.time_window(fail_window=_FAILS_AFTER * lag, warn_window=lag)

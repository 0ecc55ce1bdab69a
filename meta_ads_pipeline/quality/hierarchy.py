"""Hierarchy: no fact without its ad, its ad set and its campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandera.pandas as pa

from meta_ads_pipeline.control.check_results import DayResult
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.outcome import CheckOutcome, judged, query_rows
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import day_ranges


class FactParents(pa.DataFrameModel):
    """The ads that facts of the scope are about, one row per (ad, ad set, campaign)."""

    account_id: str
    campaign_id: str
    adset_id: str
    ad_id: str
    has_ad: bool = pa.Field(eq=True, description="the ad is in raw.ads")
    has_adset: bool = pa.Field(eq=True, description="the ad set is in raw.adsets")
    has_campaign: bool = pa.Field(eq=True, description="the campaign is in raw.campaigns")
    ad_is_in_adset: bool = pa.Field(eq=True, description="the ad is in the fact's ad set")
    adset_is_in_campaign: bool = pa.Field(
        eq=True, description="the ad set is in the fact's campaign"
    )

    class Config:
        """An ad belongs to one ad set and one campaign."""

        strict = True
        unique = ["ad_id"]  # noqa: RUF012 - Pandera's own form


_KEY = ("account_id", "campaign_id", "adset_id", "ad_id")
_SCOPE = (
    "f.provider = 'meta' and f.source = 'insights' and f.account_id = any(%(accounts)s)"
    " and f.event_date between %(start)s and %(end)s"
)


def check_hierarchy(database: Database, scope: CheckScope) -> CheckOutcome:
    """Find the scope's facts whose parents are unknown or are others than the facts say.

    Deleted and archived objects count as known: they are read by id.
    Raises ``DatabaseError`` when the server cannot be reached.
    """
    rows = query_rows(
        database,
        "with f as materialized ("
        "  select f.account_id, f.campaign_id, f.adset_id, f.ad_id"
        f"  from marts.metric_facts as f where {_SCOPE} group by 1, 2, 3, 4)"
        " select f.*, ads.id is not null as has_ad, adsets.id is not null as has_adset,"
        "   campaigns.id is not null as has_campaign,"
        "   coalesce(ads.adset_id = f.adset_id, true) as ad_is_in_adset,"
        "   coalesce(adsets.campaign_id = f.campaign_id, true) as adset_is_in_campaign"
        " from f left join raw.ads on ads.id = f.ad_id"
        "   left join raw.adsets on adsets.id = f.adset_id"
        "   left join raw.campaigns on campaigns.id = f.campaign_id",
        scope,
    )
    found = judged(FactParents, rows, _KEY)
    seen = Counter(row["ad_id"] for row in rows)
    orphans = {
        row["ad_id"]: sorted(text for flag, text in _RULES.items() if not row[flag])
        or ["an ad is in one ad set and one campaign"]
        for row in rows
        if not all(row[flag] for flag in _RULES) or seen[row["ad_id"]] > 1
    }
    days = query_rows(
        database,
        "select f.account_id, f.event_date,"
        "   array_agg(distinct f.ad_id) filter (where f.ad_id = any(%(orphans)s)) as orphans"
        f" from marts.metric_facts as f where {_SCOPE} group by 1, 2 order by 1, 2",
        scope,
        orphans=list(orphans),
    )
    bad_days = [row["event_date"] for row in days if row["orphans"]]
    metadata: dict[str, Any] = {"bad_days": day_ranges(bad_days)} if bad_days else {}
    return CheckOutcome(
        found.passed,
        found.description("ads with facts"),
        {
            **metadata,
            **found.metadata(),
            **{name: len({row[key] for row in rows}) for name, key in _COUNTED.items()},
        },
        [_day_result(row, orphans) for row in days],
    )


_RULES = {
    "has_ad": "the ad is in raw.ads",
    "has_adset": "the ad set is in raw.adsets",
    "has_campaign": "the campaign is in raw.campaigns",
    "ad_is_in_adset": "the ad is in the fact's ad set",
    "adset_is_in_campaign": "the ad set is in the fact's campaign",
}
_COUNTED = {"ads": "ad_id", "ad_sets": "adset_id", "campaigns": "campaign_id"}


def _day_result(row: Mapping[str, Any], orphans: Mapping[str, list[str]]) -> DayResult:
    account_day = row["account_id"], row["event_date"]
    if not row["orphans"]:
        return DayResult(*account_day, "passed")
    broken = sorted({rule for ad_id in row["orphans"] for rule in orphans[ad_id]})
    return DayResult(
        *account_day,
        "failed",
        violations=len(row["orphans"]),
        observed=f"ads {', '.join(row['orphans'][:5])}",
        expected="; ".join(broken),
        message=f'{len(row["orphans"])} ads with facts break the rule "{"; ".join(broken)}"',
    )

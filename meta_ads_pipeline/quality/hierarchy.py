"""Hierarchy: no fact without its ad, its ad set and its campaign."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.quality.violations import Violations


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


_FLAGS = ("has_ad", "has_adset", "has_campaign", "ad_is_in_adset", "adset_is_in_campaign")
_KEY = ("account_id", "campaign_id", "adset_id", "ad_id")
_SCOPE = (
    "f.provider = 'meta' and f.source = 'insights' and f.account_id = any(%(accounts)s)"
    " and f.event_date between %(start)s and %(end)s"
)


def check_hierarchy(database: Database, scope: CheckScope) -> Violations:
    """Find the scope's facts whose parents are unknown or are others than the facts say.

    Deleted and archived objects count as known: they are read by id. ``rows`` counts ads.
    Raises ``DatabaseError`` when the server cannot be reached.
    """
    parameters = {
        "accounts": scope.account_ids,
        "start": scope.window.start,
        "end": scope.window.end,
    }
    violations = Violations()
    with database.connect() as connection:
        rows = connection.execute(
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
            parameters,
        ).fetchall()
        if not rows:
            return violations
        violations.add(FactParents, pd.DataFrame(rows), _KEY)
        if not violations.passed:
            orphans = [row["ad_id"] for row in rows if not all(row[flag] for flag in _FLAGS)]
            days = connection.execute(
                "select f.event_date, count(*) as facts from marts.metric_facts as f"
                f" where {_SCOPE} and f.ad_id = any(%(orphans)s) group by 1",
                {**parameters, "orphans": orphans},
            ).fetchall()
            violations.days.update({row["event_date"].isoformat(): row["facts"] for row in days})
    return violations

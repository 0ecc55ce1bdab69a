"""Read a whole range of insights at once, as tests want it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from meta_ads_pipeline.insights_tables import Grain, Level
from meta_ads_pipeline.meta_api.calls import CallCounter
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.paging import Row


@dataclass(frozen=True)
class InsightsRead:
    """Everything that came for a range; ``pulled_at`` is that of the oldest part."""

    rows: list[Row]
    calls: int
    expected_calls: int
    pulled_at: datetime | None
    parts: int
    modes: frozenset[str]
    dropped_fields: dict[str, str]


def read_insights(
    client: MetaAdsClient,
    account: AccountRef,
    start: date,
    end: date,
    *,
    level: Level,
    grain: Grain,
    rows_per_day: float | None = None,
) -> InsightsRead:
    """All rows from ``start`` to ``end``, both included; raises what the client raises."""
    asked = {"level": level, "grain": grain, "rows_per_day": rows_per_day}
    expected = client.plan_insights(account, start, end, **asked).expected_calls
    counter = CallCounter()
    parts = list(client.iter_insights(account, start, end, **asked, counter=counter))
    own = f"insights/{level}/{grain}"
    return InsightsRead(
        rows=[row for part in parts for row in part.rows],
        calls=counter.calls,
        expected_calls=expected,
        pulled_at=min((part.pulled_at for part in parts), default=None),
        parts=len(parts),
        modes=frozenset(part.mode for part in parts),
        dropped_fields={
            name: reason
            for place, fields in client.dropped_fields.items()
            if place == own or place.startswith(f"{own}/")
            for name, reason in fields.items()
        },
    )

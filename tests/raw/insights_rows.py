"""Insights rows in the API's wire format, for tests."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.raw.hour_labels import HOUR_LABELS

DAY = date(2026, 11, 10)


def days(count: int, first: date = DAY) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


def ad_row(ad: int = 1, day: date = DAY, **changes: Any) -> dict[str, Any]:
    """One ad x day row; ``changes`` replace members, None removes one."""
    row = {
        "account_id": "1",
        "campaign_id": "11",
        "adset_id": "21",
        "ad_id": str(1200 + ad),
        "date_start": day.isoformat(),
        "date_stop": day.isoformat(),
        "spend": "12.34",
        "impressions": "361",
        "clicks": "12",
        "inline_link_clicks": "8",
        **changes,
    }
    return {key: value for key, value in row.items() if value is not None}


def hour_row(ad: int = 1, day: date = DAY, hour: int = 0, **changes: Any) -> dict[str, Any]:
    """One ad x hour row."""
    return ad_row(ad, day, **{HOURLY_BREAKDOWN: HOUR_LABELS[hour], **changes})


def hour_rows(ads: int, dates: list[date], hours: int = 24) -> list[dict[str, Any]]:
    """Rows of several ads, days and hours, each with its own numbers."""
    return [
        hour_row(
            ad,
            day,
            hour,
            spend=f"{ad}.{hour:02d}",
            impressions=str(100 * ad + hour),
            actions=[{"action_type": "link_click", "value": str(hour)}],
        )
        for day in dates
        for ad in range(1, ads + 1)
        for hour in range(hours)
    ]

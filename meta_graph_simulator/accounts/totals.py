"""The exact totals behind the simulator's answers, to compare a pipeline's result with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from meta_graph_simulator.accounts.currencies import major_text, offset
from meta_graph_simulator.accounts.source import (
    CLICKS,
    IMPRESSIONS,
    LINK_CLICKS,
    SPEND,
    AccountSource,
    DayDelivery,
)


def days_between(start: date, end: date) -> Iterator[date]:
    """Every date from start to end, both included."""
    return (start + timedelta(days=number) for number in range((end - start).days + 1))


def account_truth(
    source: AccountSource, start: date, end: date, *, by_ad: bool = False
) -> list[dict[str, Any]]:
    """Totals per account-local day, or per ad and day; days without delivery are left out.

    Money is text in major units; actions count each type as the daily insights report it.
    """
    currency_offset = offset(str(source.account["currency"]))
    rows: list[dict[str, Any]] = []
    for day in days_between(start, end):
        delivery = source.delivery(day)
        if not delivery.ad_ids:
            continue
        if not by_ad:
            rows.append({"date": day.isoformat(), **_totals(delivery, currency_offset)})
            continue
        for index, ad_id in enumerate(delivery.ad_ids):
            alone = np.arange(len(delivery.ad_ids)) == index
            totals = _totals(delivery.keep(alone), currency_offset)
            rows.append({"date": day.isoformat(), "ad_id": ad_id, **totals})
    return rows


def _totals(delivery: DayDelivery, currency_offset: int) -> dict[str, Any]:
    sums = delivery.hours.sum(axis=(0, 1)).tolist()
    actions: dict[str, int] = {}
    by_hour = delivery.hour_actions.sum(axis=(0, 1)).tolist()
    for name, count in zip(delivery.types.hourly, by_hour, strict=True):
        actions[name] = actions.get(name, 0) + count
    by_day = delivery.day_actions.sum(axis=0).tolist()
    for name, count in zip(delivery.types.daily, by_day, strict=True):
        actions[name] = actions.get(name, 0) + count
    values = dict(zip(delivery.types.valued, delivery.day_values.sum(axis=0).tolist(), strict=True))
    named = delivery.types.named
    scale = delivery.types.count_scale
    counted = {
        name: count // scale if count % scale == 0 else major_text(count, scale)
        for name, count in sorted(actions.items())
        if count
    }
    value_offset = currency_offset * delivery.types.value_scale
    amounts = {
        name: major_text(value, value_offset) for name, value in sorted(values.items()) if value
    }
    return {
        "spend": major_text(sums[SPEND], currency_offset),
        "impressions": sums[IMPRESSIONS],
        "clicks": sums[CLICKS],
        "inline_link_clicks": sums[LINK_CLICKS],
        "actions": {name: count for name, count in counted.items() if name not in named},
        "action_values": {name: text for name, text in amounts.items() if name not in named},
        "conversions": {name: count for name, count in counted.items() if name in named},
        "conversion_values": {name: text for name, text in amounts.items() if name in named},
    }

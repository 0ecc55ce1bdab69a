"""Leads of instant forms: one for each ``onsite_conversion.lead_grouped`` of an ad's delivery."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from meta_graph_simulator.accounts.hashing import Draws
from meta_graph_simulator.accounts.local_time import local_date, meta_datetime, midnight
from meta_graph_simulator.accounts.source import AccountSource, Document

KEPT_DAYS = 90  # Meta keeps leads for 90 days (docs, Retrieving leads)
_FORM_LEAD = "onsite_conversion.lead_grouped"
_NAMES = ("Ana Sousa", "Jonas Weber", "Mei Tanaka", "Priya Nair", "Tom Baker", "Zoë Ødegård")


def leads_of(source: AccountSource, ad: Document) -> list[Document]:
    """The leads of an ad that Meta still keeps, newest first."""
    if _FORM_LEAD not in source.types.hourly:
        return []
    today = local_date(source.now(), str(source.account["timezone_name"]))
    days = (today - timedelta(days=number) for number in range(KEPT_DAYS))
    return [lead for day in days for lead in _leads_of_day(source, ad, day)]


def _leads_of_day(source: AccountSource, ad: Document, day: date) -> Iterator[Document]:
    delivery = source.delivery(day)
    if str(ad["id"]) not in delivery.ad_ids:
        return
    row = delivery.ad_ids.index(str(ad["id"]))
    column = source.types.hourly.index(_FORM_LEAD)
    zone = str(source.account["timezone_name"])
    for hour, count in reversed(list(enumerate(delivery.hour_actions[row, :, column].tolist()))):
        for number in range(count // source.types.count_scale):
            draws = Draws("lead", str(ad["id"]), day.toordinal(), hour, number)
            start = midnight(day, zone).astimezone(ZoneInfo(zone))
            moment = start.replace(hour=hour, minute=draws.below(60), second=draws.below(60))
            name = draws.choose(_NAMES)
            address = f"{name.split()[0].lower()}{draws.below(10_000)}@example.com"
            yield {
                "id": str(draws.between(10**14, 10**16)),
                "created_time": meta_datetime(moment, zone),
                "ad_id": str(ad["id"]),
                "ad_name": ad.get("name"),
                "adset_id": ad.get("adset_id"),
                "campaign_id": ad.get("campaign_id"),
                "form_id": str(Draws("form", str(ad.get("campaign_id"))).between(10**14, 10**16)),
                "is_organic": False,
                "platform": draws.choose(("fb", "ig")),
                "field_data": [
                    {"name": "full_name", "values": [name]},
                    {"name": "email", "values": [address]},
                ],
            }

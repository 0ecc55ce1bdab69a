"""Ad accounts made up at random, as the API would tell them: zones, currencies, restated days.

Everything follows from one seed. Money is in whole minor units until it becomes text, so that every
sum the tests compare with is exact and owes nothing to the project's own code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_ads_pipeline.raw.hour_labels import HOUR_LABELS

from .warehouse import own_id

# Each with a day on which its clocks change, or none where they never do.
ZONES = {
    "America/New_York": date(2026, 11, 1),
    "Europe/Berlin": date(2026, 10, 25),
    "Australia/Lord_Howe": date(2026, 10, 4),
    "Europe/London": date(2026, 3, 29),
    "Asia/Kolkata": date(2026, 10, 20),
    "Asia/Tokyo": date(2026, 2, 28),
}
# Currency and how many decimals Meta writes it with.
CURRENCIES = {"EUR": 2, "USD": 2, "JPY": 0, "HUF": 0, "BHD": 2}
DAYS = 4
ADS = "123456"
PURCHASE_TYPES = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase")
FIRST_PULL = datetime(2026, 11, 20, 6, tzinfo=UTC)

Delivery = tuple[int, int, int]
"""Spend in minor units, impressions, clicks."""


@dataclass(frozen=True)
class AdVersion:
    """One ad's day as one pull tells it: delivery by hour label, purchases and their value."""

    hours: Mapping[int, Delivery]
    purchases: int
    revenue: int


Version = Mapping[str, AdVersion]
"""An account-day as one pull tells it, by the ad's number."""


@dataclass
class GeneratedAccount:
    """An account with the successive versions of each of its days."""

    account_id: str
    timezone: str
    currency: str
    days: dict[date, list[Version]] = field(default_factory=dict)

    def money(self, minor: int) -> Decimal:
        """Minor units as the currency's major unit."""
        return Decimal(minor).scaleb(-CURRENCIES[self.currency])

    def pulls(self) -> Iterator[tuple[date, int, Version]]:
        """Every pull: the day, which version of it, what it tells."""
        for day, versions in self.days.items():
            for number, version in enumerate(versions):
                yield day, number, version

    def hour_rows(self, day: date, version: Version) -> list[dict[str, Any]]:
        """Ad x hour rows in the wire format."""
        return [
            {
                **self._ids(ad),
                **self._dates(day),
                HOURLY_BREAKDOWN: HOUR_LABELS[label],
                **self._delivery(*delivery),
            }
            for ad, told in version.items()
            for label, delivery in told.hours.items()
        ]

    def day_rows(self, day: date, version: Version) -> list[dict[str, Any]]:
        """Ad x day rows in the wire format; purchases under three names that mean the same."""
        return [
            {
                **self._ids(ad),
                **self._dates(day),
                **self._delivery(*_added(told.hours.values())),
                **self._actions(told.purchases, told.revenue),
            }
            for ad, told in version.items()
        ]

    def account_rows(self, day: date, version: Version) -> list[dict[str, Any]]:
        """The account x day row, none for a day without activity."""
        if not version:
            return []
        told = list(version.values())
        return [
            {
                "account_id": self.account_id,
                **self._dates(day),
                **self._delivery(*_added(_added(each.hours.values()) for each in told)),
                **self._actions(sum(t.purchases for t in told), sum(t.revenue for t in told)),
            }
        ]

    def expected_days(self) -> dict[tuple[str, date], dict[str, Decimal | int | None]]:
        """What each ad's day must say in the end, by (ad id, date)."""
        return {
            (own_id(self.account_id, ad), day): self._totals(told)
            for day, versions in self.days.items()
            for ad, told in versions[-1].items()
        }

    def expected_hours(self) -> dict[tuple[str, datetime], tuple[Decimal, int, int]]:
        """What each ad's hour must say in the end, by (ad id, start in UTC)."""
        hours: dict[tuple[str, datetime], tuple[Decimal, int, int]] = {}
        for day, versions in self.days.items():
            for ad, told in versions[-1].items():
                for label, (spend, impressions, clicks) in told.hours.items():
                    # The first occurrence of a repeated hour (fold=0); Lord Howe's half hour of
                    # spring starts where the clocks land.
                    zone = ZoneInfo(self.timezone)
                    local = datetime(day.year, day.month, day.day, label, tzinfo=zone)
                    key = own_id(self.account_id, ad), local.astimezone(UTC)
                    hours[key] = self.money(spend), impressions, clicks
        return hours

    def _totals(self, told: AdVersion) -> dict[str, Decimal | int | None]:
        spend, impressions, clicks = _added(told.hours.values())
        return {
            "spend": self.money(spend),
            "impressions": impressions,
            "clicks": clicks,
            "purchases": told.purchases or None,
            "revenue": self.money(told.revenue) if told.revenue else None,
        }

    def _ids(self, ad: str) -> dict[str, str]:
        return {
            "account_id": self.account_id,
            "campaign_id": own_id(self.account_id, "21"),
            "adset_id": own_id(self.account_id, "31"),
            "ad_id": own_id(self.account_id, ad),
        }

    def _dates(self, day: date) -> dict[str, str]:
        return {"date_start": day.isoformat(), "date_stop": day.isoformat()}

    def _delivery(self, spend: int, impressions: int, clicks: int) -> dict[str, str]:
        return {
            "spend": str(self.money(spend)),
            "impressions": str(impressions),
            "clicks": str(clicks),
        }

    def _actions(self, purchases: int, revenue: int) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if purchases:
            told["actions"] = [{"action_type": t, "value": str(purchases)} for t in PURCHASE_TYPES]
        if revenue:
            value = str(self.money(revenue))
            told["action_values"] = [{"action_type": t, "value": value} for t in PURCHASE_TYPES]
        return told


def generate(seed: int, accounts: int = 5) -> list[GeneratedAccount]:
    """Accounts with a few days around a change of clocks, most of them told more than once."""
    random = Random(seed)
    return [_account(random, str(number + 1)) for number in range(accounts)]


def _account(random: Random, account_id: str) -> GeneratedAccount:
    zone, change = random.choice(sorted(ZONES.items()))
    account = GeneratedAccount(account_id, zone, random.choice(sorted(CURRENCIES)))
    for number in range(DAYS):
        day = change + timedelta(days=number - 1)
        labels = _existing_hours(day, zone)
        versions: list[Version] = [_version(random, labels)]
        for _ in range(random.randrange(3)):
            versions.append(_restated(random, versions[-1], labels))
        account.days[day] = versions
    return account


def _existing_hours(day: date, zone: str) -> list[int]:
    """The labels whose first minute exists: spring's missing hour has no row."""
    tz = ZoneInfo(zone)
    starts = {
        hour: datetime(day.year, day.month, day.day, hour, tzinfo=tz).astimezone(UTC)
        for hour in range(24)
    }
    return [hour for hour, start in starts.items() if start.astimezone(tz).hour == hour]


def _version(random: Random, labels: list[int]) -> dict[str, AdVersion]:
    ads = random.sample(ADS, random.randint(0, len(ADS)))
    return {ad: _ad(random, labels) for ad in sorted(ads)}


def _ad(random: Random, labels: list[int]) -> AdVersion:
    hours = sorted(random.sample(labels, random.randint(1, 6)))
    purchases = random.choice((0, 0, 1, 3))
    return AdVersion(
        {hour: _delivery(random) for hour in hours}, purchases, purchases * random.randint(0, 9999)
    )


def _delivery(random: Random) -> Delivery:
    impressions = random.randint(1, 5000)
    # Spend 0 with impressions happens at Meta.
    spend = random.choice((0, random.randint(1, 99_999)))
    return spend, impressions, random.randint(0, min(40, impressions))


def _restated(
    random: Random, version: Mapping[str, AdVersion], labels: list[int]
) -> dict[str, AdVersion]:
    """A later answer about the same day: ads vanish, come late, change or stay as they are."""
    later: dict[str, AdVersion] = {}
    for ad in ADS:
        fate = random.random()
        if ad in version and fate > 0.15:
            later[ad] = version[ad] if fate > 0.5 else _ad(random, labels)
        elif ad not in version and fate < 0.2:
            later[ad] = _ad(random, labels)
    return later


def _added(deliveries: Any) -> Delivery:
    totals: dict[int, int] = defaultdict(int)
    for delivery in deliveries:
        for place, value in enumerate(delivery):
            totals[place] += value
    return totals[0], totals[1], totals[2]

"""Documents of generated accounts, campaigns, ad sets and ads as they stand at one instant."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

from meta_graph_simulator.accounts.currencies import offset
from meta_graph_simulator.accounts.generator_creatives import ad_name, creative_document, page_id
from meta_graph_simulator.accounts.generator_markets import Market
from meta_graph_simulator.accounts.generator_plan import (
    DEMAND_BY_MONTH,
    REVIEW_TIME,
    AccountPlan,
    AdPlan,
    AdSetPlan,
    CampaignPlan,
    Life,
)
from meta_graph_simulator.accounts.hashing import Draws
from meta_graph_simulator.accounts.local_time import local_date, meta_datetime, midnight
from meta_graph_simulator.accounts.source import Document, Entities

_LEARNING_DAYS = 7
_EDIT_DAYS = 45
_HIKING = {"id": "6003139266461", "name": "Hiking"}
_DESIGN = {"id": "6003107902433", "name": "Design"}
_BUYERS = {"id": "23850000000000101", "name": "LAL 1% purchasers"}
_VISITORS = {"id": "23850000000000102", "name": "Visitors 30d"}
_AUDIENCES: tuple[tuple[str, Document], ...] = (
    ("LAL 1% purchasers", {"custom_audiences": [_BUYERS]}),
    ("Broad 25-54", {"age_min": 25, "age_max": 54}),
    ("Interests", {"flexible_spec": [{"interests": [_HIKING, _DESIGN]}]}),
    (
        "RMK 30d visitors",
        {"custom_audiences": [_VISITORS], "excluded_custom_audiences": [_BUYERS]},
    ),
    ("Frauen 30+", {"genders": [2], "age_min": 30}),
    ("Advantage+", {"targeting_automation": {"advantage_audience": 1}}),
)
_STRATEGIES = (
    "LOWEST_COST_WITHOUT_CAP",
    "LOWEST_COST_WITHOUT_CAP",
    "LOWEST_COST_WITH_BID_CAP",
    "COST_CAP",
    "LOWEST_COST_WITH_MIN_ROAS",
)
_ATTRIBUTION = {
    "7d_click_1d_view": (("CLICK_THROUGH", 7), ("VIEW_THROUGH", 1)),
    "7d_click": (("CLICK_THROUGH", 7),),
    "1d_click": (("CLICK_THROUGH", 1),),
    "7d_click_1d_view_1d_ev": (
        ("CLICK_THROUGH", 7),
        ("VIEW_THROUGH", 1),
        ("ENGAGED_VIDEO_VIEW", 1),
    ),
}


def attribution_setting(adset_id: str) -> str:
    """The ad set's attribution setting in the words of insights."""
    place = Draws("attribution", adset_id).below(10)
    names = tuple(_ATTRIBUTION)
    return names[0] if place < 6 else names[1 + place % 3]


def pixel_id(account_id: str) -> str:
    """The account's pixel."""
    return str(10**14 + Draws("pixel", account_id).below(9 * 10**14))


class Documents:
    """Writes every document of an account at the instant ``now``."""

    def __init__(
        self,
        plan: AccountPlan,
        market: Market,
        account_id: str,
        custom_conversion: str,
        now: datetime,
    ) -> None:
        self._plan = plan
        self._market = market
        self._account_id = account_id
        self._custom_conversion = custom_conversion
        self._pixel = pixel_id(account_id)
        self._now = now
        self._today = local_date(now, market.timezone)

    def entities(self) -> Entities:
        """All objects created by now. Order: newest first, as Meta lists them."""
        born = self._now
        campaigns = [c for c in self._plan.campaigns if c.life.created_at <= born]
        adsets = [s for s in self._plan.adsets if s.life.created_at <= born]
        ads = [ad for ad in self._plan.ads if ad.life.created_at <= born]
        ads.sort(key=lambda ad: (ad.life.created_at, ad.id), reverse=True)
        campaigns.sort(key=lambda c: (c.life.created_at, c.id), reverse=True)
        adsets.sort(key=lambda s: (s.life.created_at, s.id), reverse=True)
        return Entities.of(
            {
                "campaign": [self.campaign(campaign) for campaign in campaigns],
                "adset": [self.adset(adset) for adset in adsets],
                "ad": [self.ad(ad) for ad in ads],
                "creative": [
                    creative_document(
                        ad, self._market, self._account_id, self._creative_status(ad), self._now
                    )
                    for ad in ads
                ],
            }
        )

    def campaign(self, plan: CampaignPlan) -> Document:
        """One campaign document."""
        draws = Draws("campaign", plan.id)
        status = plan.life.status(self._now)
        document = self._common(plan.id, plan.life, status)
        document |= {
            "name": self.campaign_name(plan),
            "objective": plan.objective.name,
            "buying_type": "AUCTION",
            "effective_status": status,
            "special_ad_categories": ["HOUSING"] if draws.below(20) == 0 else [],
            "smart_promotion_type": "GUIDED_CREATION",
            "start_time": self._text(self._start(plan.life)),
        }
        if plan.life.end:
            document["stop_time"] = self._text(self._end(plan.life))
        if plan.budgeted:
            document["bid_strategy"] = self._strategy(draws, plan)
            document |= self._budget(self._campaign_budgets[plan.id], plan.life, plan.id)
        if draws.chance(15):
            document["spend_cap"] = str(self._campaign_budgets[plan.id] * 400)
        if status == "ACTIVE" and plan.slot % 7 == 5:
            document["effective_status"] = "WITH_ISSUES"
            document["issues_info"] = [
                _issue("CAMPAIGN", 1815111, "Spending limit close", "SOFT_ERROR")
            ]
        return document

    def campaign_name(self, plan: CampaignPlan) -> str:
        """The campaign's name; promotions carry their month."""
        country = self._market.countries[0]
        goal = plan.objective.name.removeprefix("OUTCOME_").title().replace("_", " ")
        if plan.rotating:
            return f"PROMO | {goal} | {country} | {plan.life.start:%Y-%m}"
        return f"{'PROSP' if plan.slot % 3 else 'RMK'} | {goal} | {country} | always-on {plan.slot}"

    def adset(self, plan: AdSetPlan) -> Document:
        """One ad set document."""
        draws = Draws("adset", plan.id)
        objective = plan.campaign.objective
        audience, targeting = draws.choose(_AUDIENCES)
        own = plan.life.status(self._now)
        document = self._common(plan.id, plan.life, own)
        document |= {
            "campaign_id": plan.campaign.id,
            "name": f"{audience} – {plan.slot:02d}",
            "effective_status": self._effective(own, [(plan.campaign.life, "CAMPAIGN_PAUSED")]),
            "optimization_goal": objective.optimization_goal,
            "billing_event": objective.billing_event,
            "is_dynamic_creative": False,
            "start_time": self._text(self._start(plan.life)),
            "attribution_spec": [
                {"event_type": event, "window_days": days}
                for event, days in _ATTRIBUTION[attribution_setting(plan.id)]
            ],
            "targeting": {
                "age_min": 18,
                "age_max": 65,
                "geo_locations": {
                    "countries": list(self._market.countries),
                    "location_types": ["home", "recent"],
                },
                "publisher_platforms": ["facebook", "instagram"],
                **targeting,
            },
        }
        if objective.destination_type:
            document["destination_type"] = objective.destination_type
        promoted = self._promoted_object(plan)
        if promoted:
            document["promoted_object"] = promoted
        if objective.event == "LEAD" and "pixel_id" in promoted:
            document |= {"optimization_goal": "OFFSITE_CONVERSIONS", "destination_type": "WEBSITE"}
        end = plan.life.end or plan.campaign.life.end
        if end:
            document["end_time"] = self._text(
                midnight(end + timedelta(days=1), self._market.timezone)
            )
        if not plan.campaign.budgeted:
            strategy = self._strategy(draws, plan.campaign)
            document["bid_strategy"] = strategy
            if strategy in {"LOWEST_COST_WITH_BID_CAP", "COST_CAP"}:
                document["bid_amount"] = self._nice(1200 + draws.below(2800))
            if strategy == "LOWEST_COST_WITH_MIN_ROAS":
                document["bid_constraints"] = {"roas_average_floor": 15_000}
            document |= self._budget(self._adset_budgets[plan.id], plan.life, plan.id)
        if objective.learns:
            document["learning_stage_info"] = self._learning(plan, draws)
        if document["effective_status"] == "ACTIVE" and plan.slot % 13 == 6:
            document["effective_status"] = "WITH_ISSUES"
            document["issues_info"] = [
                _issue("AD_SET", 2460003, "Audience too narrow", "SOFT_ERROR")
            ]
        return document

    def ad(self, plan: AdPlan) -> Document:
        """One ad document."""
        own = plan.life.status(self._now)
        document = self._common(plan.id, plan.life, own)
        parents = [
            (plan.adset.campaign.life, "CAMPAIGN_PAUSED"),
            (plan.adset.life, "ADSET_PAUSED"),
        ]
        effective = self._effective(own, parents)
        document |= {
            "adset_id": plan.adset.id,
            "campaign_id": plan.adset.campaign.id,
            "name": ad_name(plan),
            "effective_status": effective,
            "creative": {"id": plan.creative_id},
            "tracking_specs": [
                {"action.type": ["offsite_conversion"], "fb_pixel": [self._pixel]},
                {"action.type": ["post_engagement"], "page": [page_id(self._market)]},
            ],
        }
        if "pixel_id" in self._promoted_object(plan.adset):
            document["conversion_domain"] = self._market.site
        if effective != "ACTIVE":
            return document
        if self._now < plan.life.created_at + REVIEW_TIME:
            document["effective_status"] = "PENDING_REVIEW"
        elif plan.disapproved:
            document["effective_status"] = "DISAPPROVED"
            document["ad_review_feedback"] = {
                "global": {"UNREALISTIC_OUTCOMES": "Your ad makes claims that cannot be verified."}
            }
        elif plan.with_issues:
            document["effective_status"] = "WITH_ISSUES"
            document["issues_info"] = [
                _issue("AD", 1815869, "Ad post is not available", "SOFT_ERROR")
            ]
        return document

    def _common(self, object_id: str, life: Life, status: str) -> Document:
        return {
            "id": object_id,
            "account_id": self._account_id,
            "status": status,
            "configured_status": status,
            "created_time": self._text(life.created_at),
            "updated_time": self._text(life.updated_at(self._now)),
        }

    def _effective(self, own: str, parents: list[tuple[Life, str]]) -> str:
        states = [own, *(life.status(self._now) for life, _ in parents)]
        for gone in ("DELETED", "ARCHIVED"):
            if gone in states:
                return gone
        for life, paused in parents:
            if life.status(self._now) == "PAUSED":
                return paused
        return own

    def _creative_status(self, ad: AdPlan) -> str:
        return "WITH_ISSUES" if ad.with_issues else "ACTIVE"

    def _learning(self, plan: AdSetPlan, draws: Draws) -> Document:
        # Budget edits send an ad set back to learning; Meta does not bump updated_time for them.
        begun = local_date(plan.life.created_at, self._market.timezone)
        phase = Draws("edits", plan.id).below(_EDIT_DAYS)
        lasted = (self._today - begun).days
        age = (lasted - phase) % _EDIT_DAYS if lasted >= phase else lasted
        edited = midnight(self._today - timedelta(days=age), self._market.timezone)
        edit_time = plan.life.created_at if age == lasted else edited
        info: Document = {
            "status": "LEARNING",
            "conversions": min(49, age * draws.between(1, 6)),
            "last_sig_edit_ts": int(edit_time.timestamp()),
            "attribution_windows": [attribution_setting(plan.id)[:8]],
        }
        if age >= _LEARNING_DAYS:
            failed = draws.chance(30)
            info["status"] = "FAIL" if failed else "SUCCESS"
            info["conversions"] = draws.between(3, 38) if failed else 50
        return info

    def _promoted_object(self, plan: AdSetPlan) -> Document:
        objective = plan.campaign.objective
        if objective.call_to_action == "INSTALL_MOBILE_APP":
            store = f"https://apps.apple.com/app/id{Draws(self._market.name).below(10**9)}"
            return {"application_id": self._pixel[:12], "object_store_url": store}
        if objective.event == "LEAD":
            kind = Draws("promoted", plan.id).below(4)
            if kind == 0:
                custom = {"custom_conversion_id": self._custom_conversion}
                return {"pixel_id": self._pixel, "custom_event_type": "OTHER", **custom}
            if kind == 1:
                return {"pixel_id": self._pixel, "custom_event_type": "CONTACT"}
            return {"page_id": page_id(self._market), "custom_event_type": "LEAD"}
        if objective.event:
            return {"pixel_id": self._pixel, "custom_event_type": objective.event}
        if objective.call_to_action == "MESSAGE_PAGE":
            return {"page_id": page_id(self._market)}
        return {}

    def _strategy(self, draws: Draws, campaign: CampaignPlan) -> str:
        strategy = draws.choose(_STRATEGIES)
        if strategy == "LOWEST_COST_WITH_MIN_ROAS" and campaign.objective.event != "PURCHASE":
            return _STRATEGIES[0]
        return strategy

    def _budget(self, daily: int, life: Life, object_id: str) -> Document:
        # Never less than what is spent: in a week Meta spends at most seven times a daily budget.
        if life.end:
            days = (life.end - life.start).days + 1
            total = self._nice_minor(round(daily * days * max(DEMAND_BY_MONTH)))
            share = Draws("remaining", object_id).below(30)
            return {"lifetime_budget": str(total), "budget_remaining": str(total * share // 100)}
        # Budgets are edited at month ends; Meta does not bump updated_time for that.
        edit = Draws("budget", object_id, self._today.year, self._today.month).between(90, 110)
        demand = DEMAND_BY_MONTH[self._today.month - 1]
        amount = self._nice_minor(round(daily * demand * edit / 100))
        share = Draws("remaining", object_id, self._today.toordinal()).below(60)
        return {"daily_budget": str(amount), "budget_remaining": str(amount * share // 100)}

    @cached_property
    def _adset_budgets(self) -> dict[str, int]:
        budgets: dict[str, int] = {adset.id: 0 for adset in self._plan.adsets}
        seen: set[tuple[str, int]] = set()
        for ad in self._plan.ads:  # generations of a slot follow each other: count the slot once
            if (ad.adset.id, ad.slot) not in seen:
                seen.add((ad.adset.id, ad.slot))
                budgets[ad.adset.id] += ad.base * 13 // 10
        return budgets

    @cached_property
    def _campaign_budgets(self) -> dict[str, int]:
        budgets: dict[str, int] = {campaign.id: 0 for campaign in self._plan.campaigns}
        seen: set[tuple[str, int]] = set()
        for adset in self._plan.adsets:
            if (adset.campaign.id, adset.slot) not in seen:
                seen.add((adset.campaign.id, adset.slot))
                budgets[adset.campaign.id] += self._adset_budgets[adset.id]
        return budgets

    def _start(self, life: Life) -> datetime:
        return midnight(life.start, self._market.timezone)

    def _end(self, life: Life) -> datetime:
        if life.end is None:
            raise ValueError("an open object has no end")
        return midnight(life.end + timedelta(days=1), self._market.timezone)

    def _nice(self, cents: int) -> int:
        return self._nice_minor(round(cents * self._market.scale))

    def _nice_minor(self, amount: int) -> int:
        step = 10 * offset(self._market.currency) // 2
        return max(step, amount // step * step)

    def _text(self, instant: datetime) -> str:
        return meta_datetime(instant, self._market.timezone)


def _issue(level: str, code: int, summary: str, error_type: str) -> Document:
    return {
        "level": level,
        "error_code": code,
        "error_summary": summary,
        "error_message": f"{summary}. Check the {level.lower().replace('_', ' ')} and try again.",
        "error_type": error_type,
    }

"""What generated accounts sell and where: markets, objectives and their response rates."""

from __future__ import annotations

from dataclasses import dataclass

from meta_graph_simulator.accounts.source import ActionTypes


@dataclass(frozen=True, slots=True)
class Market:
    """One kind of ad account. ``scale`` is the price of a euro cent in minor units.

    ``omni`` false: Meta reports no ``omni_*`` action types for this account.
    """

    name: str
    currency: str
    timezone: str
    timezone_id: int
    countries: tuple[str, ...]
    scale: float
    site: str
    omni: bool = True


MARKETS = (
    Market("Nordlicht Outdoor", "EUR", "Europe/Berlin", 47, ("DE", "AT"), 1.0, "nordlicht.example"),
    Market("Brightwater Home", "USD", "America/New_York", 7, ("US",), 1.1, "brightwater.example"),
    Market("川辺文具", "JPY", "Asia/Tokyo", 64, ("JP",), 1.65, "kawabe.example", omni=False),
    Market("Duna Kávé", "HUF", "Europe/Budapest", 56, ("HU",), 4.0, "dunakave.example"),
    Market("Mysore Silks", "INR", "Asia/Kolkata", 71, ("IN",), 92.0, "mysoresilks.example"),
    Market("Lord Howe Walks", "AUD", "Australia/Lord_Howe", 18, ("AU", "NZ"), 1.7, "lhw.example"),
    Market("Formosa Tea", "TWD", "Asia/Taipei", 133, ("TW",), 0.36, "formosatea.example"),
    Market("Meridian Software", "GBP", "UTC", 144, ("GB", "IE"), 0.87, "meridian.example"),
    Market("Café Serra", "BRL", "America/Sao_Paulo", 25, ("BR",), 6.1, "cafeserra.example"),
    Market("Petra Trails", "JOD", "Asia/Amman", 63, ("JO",), 0.8, "petratrails.example"),
)


@dataclass(frozen=True, slots=True)
class Objective:
    """A campaign objective with how people respond to its ads.

    ``cpm`` in euro cents per 1,000 impressions; ``ctr`` clicks (all) per impression; ``link`` link
    clicks per click; ``landing``, ``lead_form``, ``message``, and the off-Meta rates per link
    click; ``video`` video views per impression; ``social`` reactions per impression. ``order`` is
    the basket in cents.
    """

    name: str
    optimization_goal: str
    billing_event: str
    call_to_action: str
    destination_type: str | None = None
    event: str | None = None
    cpm: int = 900
    ctr: float = 0.016
    link: float = 0.7
    landing: float = 0.78
    video: float = 0.05
    social: float = 0.003
    page_like: float = 0.0
    lead_form: float = 0.0
    message: float = 0.0
    view: float = 0.0
    cart: float = 0.0
    checkout: float = 0.0
    purchase: float = 0.0
    app_purchase: float = 0.0
    store_purchase: float = 0.0
    pixel_lead: float = 0.0
    registration: float = 0.0
    install: float = 0.0
    custom: float = 0.0
    contact: float = 0.0
    contact_app: float = 0.0
    subscribe: float = 0.0
    start_trial: float = 0.0
    order: int = 6400
    learns: bool = True


_SALES = Objective(
    "OUTCOME_SALES",
    "OFFSITE_CONVERSIONS",
    "IMPRESSIONS",
    "SHOP_NOW",
    "WEBSITE",
    "PURCHASE",
    cpm=1150,
    view=0.7,
    cart=0.16,
    checkout=0.08,
    purchase=0.045,
    app_purchase=0.004,
    store_purchase=0.002,
    registration=0.01,
    subscribe=0.012,
)
_LEADS = Objective(
    "OUTCOME_LEADS",
    "QUALITY_LEAD",
    "IMPRESSIONS",
    "SIGN_UP",
    "ON_AD",
    "LEAD",
    cpm=1300,
    ctr=0.012,
    lead_form=0.06,
    pixel_lead=0.03,
    registration=0.012,
    custom=0.05,
    contact=0.04,
    contact_app=0.004,
)
_TRAFFIC = Objective(
    "OUTCOME_TRAFFIC",
    "LANDING_PAGE_VIEWS",
    "IMPRESSIONS",
    "LEARN_MORE",
    "WEBSITE",
    cpm=520,
    ctr=0.028,
    link=0.85,
    view=0.5,
    cart=0.02,
    purchase=0.003,
    custom=0.02,
)
_AWARENESS = Objective(
    "OUTCOME_AWARENESS",
    "REACH",
    "IMPRESSIONS",
    "LEARN_MORE",
    cpm=280,
    ctr=0.004,
    link=0.5,
    video=0.12,
    learns=False,
)
_ENGAGEMENT = Objective(
    "OUTCOME_ENGAGEMENT",
    "CONVERSATIONS",
    "IMPRESSIONS",
    "MESSAGE_PAGE",
    "MESSENGER",
    cpm=430,
    ctr=0.02,
    link=0.4,
    video=0.2,
    social=0.014,
    page_like=0.0006,
    message=0.12,
)
_APP = Objective(
    "OUTCOME_APP_PROMOTION",
    "APP_INSTALLS",
    "IMPRESSIONS",
    "INSTALL_MOBILE_APP",
    "APP",
    cpm=760,
    ctr=0.018,
    landing=0.0,
    install=0.18,
    app_purchase=0.012,
    registration=0.06,
    start_trial=0.03,
    order=1900,
)


def _legacy(model: Objective, name: str, goal: str, **changes: float | str | None) -> Objective:
    values = {field: getattr(model, field) for field in Objective.__slots__}
    return Objective(**{**values, "name": name, "optimization_goal": goal, **changes})


LEGACY = (
    _legacy(_SALES, "CONVERSIONS", "OFFSITE_CONVERSIONS", event="COMPLETE_REGISTRATION"),
    _legacy(_TRAFFIC, "LINK_CLICKS", "LINK_CLICKS", billing_event="LINK_CLICKS"),
    _legacy(_LEADS, "LEAD_GENERATION", "LEAD_GENERATION"),
    _legacy(_AWARENESS, "REACH", "REACH"),
    _legacy(_AWARENESS, "VIDEO_VIEWS", "THRUPLAY", billing_event="THRUPLAY", video=0.3),
    _legacy(_ENGAGEMENT, "POST_ENGAGEMENT", "POST_ENGAGEMENT", message=0.0, event=None),
    _legacy(_ENGAGEMENT, "MESSAGES", "CONVERSATIONS"),
    _legacy(_APP, "APP_INSTALLS", "APP_INSTALLS"),
    _legacy(_SALES, "PRODUCT_CATALOG_SALES", "VALUE"),
    _legacy(_AWARENESS, "BRAND_AWARENESS", "AD_RECALL_LIFT"),
    _legacy(_ENGAGEMENT, "PAGE_LIKES", "PAGE_LIKES", message=0.0, page_like=0.01),
)
# Campaign slots take these in turn; every fifth slot is a series of short promotions.
_ODAX_ORDER = (_SALES, _LEADS, _TRAFFIC, _AWARENESS, _SALES, _ENGAGEMENT, _APP)


def objective_of(slot: int, account_index: int) -> Objective:
    """The objective of a campaign slot: all of ODAX first, then legacy ones, then ODAX again."""
    ring = len(_ODAX_ORDER) + len(LEGACY)
    place = slot % ring
    if place < len(_ODAX_ORDER):
        return _ODAX_ORDER[place]
    return LEGACY[(place - len(_ODAX_ORDER) + account_index) % len(LEGACY)]


# Counted facts, and which action types each one shows up under. Types overlap as they do at Meta.
HOUR_FACTS = (
    "link_click",
    "landing_page_view",
    "video_view",
    "comment",
    "post_reaction",
    "post",
    "like",
    "lead_form",
    "message",
)
_POST = ("post_engagement", "page_engagement")
HOUR_TYPES_OF: dict[str, tuple[str, ...]] = {
    "link_click": ("link_click", *_POST),
    "landing_page_view": ("landing_page_view",),
    "video_view": ("video_view", *_POST),
    "comment": ("comment", *_POST),
    "post_reaction": ("post_reaction", *_POST),
    "post": ("post", *_POST),
    "like": ("like", "page_engagement"),
    "lead_form": ("onsite_conversion.lead_grouped", "lead"),
    "message": ("onsite_conversion.messaging_conversation_started_7d",),
}
DAY_FACTS = (
    "purchase",
    "app_purchase",
    "store_purchase",
    "cart",
    "checkout",
    "registration",
    "pixel_lead",
    "view",
    "install",
    "custom",
    "contact",
    "contact_app",
    "subscribe",
    "start_trial",
)
CUSTOM_EVENT = "QuizCompleted"  # the custom event that the pixels of generated accounts send
_BOUGHT = ("omni_purchase", "purchase")
DAY_TYPES_OF: dict[str, tuple[str, ...]] = {
    "purchase": (
        *_BOUGHT,
        "offsite_conversion.fb_pixel_purchase",
        "onsite_web_purchase",
        "onsite_web_app_purchase",
    ),
    "app_purchase": (*_BOUGHT, "app_custom_event.fb_mobile_purchase", "onsite_web_app_purchase"),
    "store_purchase": (*_BOUGHT, "web_in_store_purchase"),
    "cart": (
        "omni_add_to_cart",
        "add_to_cart",
        "offsite_conversion.fb_pixel_add_to_cart",
        "onsite_web_add_to_cart",
        "onsite_web_app_add_to_cart",
    ),
    "checkout": (
        "omni_initiated_checkout",
        "initiate_checkout",
        "offsite_conversion.fb_pixel_initiate_checkout",
        "onsite_web_initiate_checkout",
    ),
    "registration": (
        "omni_complete_registration",
        "complete_registration",
        "offsite_conversion.fb_pixel_complete_registration",
    ),
    "pixel_lead": ("lead", "offsite_conversion.fb_pixel_lead", "onsite_web_lead"),
    "view": ("omni_view_content", "view_content", "offsite_conversion.fb_pixel_view_content"),
    "install": ("omni_app_install", "mobile_app_install"),
    "custom": (
        "offsite_conversion.fb_pixel_custom",
        "offsite_conversion.custom.{conversion}",
        f"offsite_conversion.fb_pixel_custom.{CUSTOM_EVENT}",
    ),
    "contact": ("offsite_conversion.fb_pixel_custom", "contact_total", "contact_website"),
    "contact_app": ("contact_total", "contact_mobile_app"),
    "subscribe": ("offsite_conversion.fb_pixel_custom", "subscribe_total", "subscribe_website"),
    "start_trial": ("start_trial_total", "start_trial_mobile_app"),
}
VALUE_FACTS = ("purchase", "app_purchase", "store_purchase", "subscribe")


def is_named(action_type: str) -> bool:
    """Whether ``conversions`` reports a type by name, and ``actions`` does not.

    Source: Insights reference, ``conversions``: standard events other than those of ``actions``
    (``contact_total``, ``subscribe_website``, ...) and custom events.
    """
    return action_type.startswith("offsite_conversion.fb_pixel_custom.") or action_type.endswith(
        ("_total", "_website", "_mobile_app", "_offline")
    )


def action_types(market: Market, custom_conversion: str) -> ActionTypes:
    """The action types that an account of this market reports."""

    def present(types_of: dict[str, tuple[str, ...]], facts: tuple[str, ...]) -> tuple[str, ...]:
        names = dict.fromkeys(name for fact in facts for name in types_of[fact])
        return tuple(
            name.format(conversion=custom_conversion)
            for name in names
            if market.omni or not name.startswith("omni_")
        )

    daily = present(DAY_TYPES_OF, DAY_FACTS)
    return ActionTypes(
        present(HOUR_TYPES_OF, HOUR_FACTS),
        daily,
        present(DAY_TYPES_OF, VALUE_FACTS),
        frozenset(filter(is_named, daily)),
    )

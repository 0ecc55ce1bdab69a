"""Creative documents of generated ads: story, headline, body, button, link with UTM tags."""

from __future__ import annotations

from datetime import datetime

from meta_graph_simulator.accounts.generator_markets import Market, Objective
from meta_graph_simulator.accounts.generator_plan import AdPlan
from meta_graph_simulator.accounts.hashing import Draws
from meta_graph_simulator.accounts.source import Document

_HEADLINES = (
    "New season, new routes",
    "Made to last – tested for 500 days",
    "Free returns, always",
    "Jetzt 15 % sparen",
    "Rated 4.8 by 12,000 people",
    "秋の新商品、入荷しました",
    "Get the guide",
)
_BODIES = (
    "Everything you need, nothing you don't. Order today and have it by the weekend.",
    "“The best one I ever owned.” See why people come back. 🌲",
    "Only this week: free shipping on every order.\nNo code needed.",
    "Answer four questions and we will tell you what fits.",
    "毎日の暮らしに、ちょっといい道具を。",
)
_FORMATS = ("static", "video", "carousel", "ugc", "dynamic")
URL_TAGS = (
    "utm_source=facebook&utm_medium=paid_social&utm_campaign={{campaign.name}}"
    "&utm_content={{ad.name}}&utm_term={{adset.name}}&hsa_ad={{ad.id}}"
)


def page_id(market: Market) -> str:
    """The page that the market's ads are published by."""
    return str(100_000_000_000_000 + Draws("page", market.name).below(9 * 10**13))


def ad_format(ad: AdPlan) -> str:
    """What kind of picture the ad shows."""
    return Draws("format", ad.id).choose(_FORMATS)


def ad_name(ad: AdPlan) -> str:
    """A name as media buyers give it."""
    draws = Draws("ad name", ad.id)
    angle = draws.choose(("offer", "story", "review", "howto", "launch", "秋セール"))
    return f"{ad_format(ad)}_{angle}_v{ad.life.generation + 1}_{ad.slot:03d}"


def _signed_url(draws: Draws, name: str, now: datetime) -> str:
    # Meta signs image addresses and lets them expire: the same picture has another address
    # tomorrow, which is why they must stay out of change detection.
    expires = int(now.timestamp()) // 86_400 * 86_400 + 14 * 86_400
    return (
        f"https://scontent.xx.fbcdn.example/v/t45.1600-4/{name}?_nc_ohc={draws.next():016x}"
        f"&oh=00_{Draws(name, expires).next():016x}&oe={expires:X}"
    )


def creative_document(
    ad: AdPlan, market: Market, account_id: str, status: str, now: datetime
) -> Document:
    """The creative of an ad. Creatives have no created or updated time at Meta."""
    draws = Draws("creative", ad.creative_id)
    objective = ad.adset.campaign.objective
    kind = ad_format(ad)
    page = page_id(market)
    title, body = draws.choose(_HEADLINES), draws.choose(_BODIES)
    link = f"https://www.{market.site}/p/{draws.below(900) + 100}?ref=ad"
    button: Document = {"type": objective.call_to_action, "value": {"link": link}}
    image = f"{draws.next():016x}{draws.next():016x}"
    post = f"{page}_{draws.below(9 * 10**14) + 10**14}"
    document: Document = {
        "id": ad.creative_id,
        "account_id": account_id,
        "name": f"{title} {ad.life.start.isoformat()}-{image[:8]}",
        "status": status,
        "title": title,
        "body": body,
        "call_to_action_type": objective.call_to_action,
        "actor_id": page,
        "effective_object_story_id": post,
        "thumbnail_url": _signed_url(draws, f"{image[:12]}_t.jpg", now),
        "url_tags": URL_TAGS,
    }
    story: Document = {"page_id": page}
    if draws.chance(70):
        instagram = str(17_841_400_000_000_000 + Draws("instagram", market.name).below(10**12))
        story["instagram_user_id"] = instagram
        document["instagram_user_id"] = instagram
        document["instagram_permalink_url"] = f"https://www.instagram.com/p/{image[:11]}/"
    if kind in {"video", "ugc"}:
        video = str(10**15 + draws.below(9 * 10**15))
        document |= {"object_type": "VIDEO", "video_id": video}
        story["video_data"] = {
            "video_id": video,
            "title": title,
            "message": body,
            "image_hash": image,
            "call_to_action": button,
        }
    elif kind == "dynamic":
        document |= {"object_type": "SHARE", "asset_feed_spec": _asset_feed(draws, link, objective)}
        del document["title"], document["body"]
    else:
        document |= {
            "object_type": "SHARE",
            "image_hash": image,
            "image_url": _signed_url(draws, f"{image[:12]}_n.jpg", now),
            "link_url": link,
            "object_story_id": post,
        }
        data: Document = {
            "link": link,
            "message": body,
            "name": title,
            "image_hash": image,
            "call_to_action": button,
        }
        if kind == "carousel":
            data |= {"child_attachments": _cards(draws, button), "multi_share_optimized": True}
        story["link_data"] = data
    document["object_story_spec"] = story
    return document


def _asset_feed(draws: Draws, link: str, objective: Objective) -> Document:
    return {
        "images": [{"hash": f"{draws.next():016x}"} for _ in range(3)],
        "titles": [{"text": text} for text in _HEADLINES[:3]],
        "bodies": [{"text": text} for text in _BODIES[:2]],
        "link_urls": [{"website_url": link}],
        "call_to_action_types": [objective.call_to_action],
        "ad_formats": ["SINGLE_IMAGE"],
    }


def _cards(draws: Draws, button: Document) -> list[Document]:
    link = button["value"]["link"]
    return [
        {
            "link": f"{link}&card={card}",
            "name": draws.choose(_HEADLINES),
            "image_hash": f"{draws.next():016x}",
            "call_to_action": button,
        }
        for card in range(3)
    ]

"""Subscribing to webhooks: the app names a receiver, then each ad account installs the app.

Source: Meta's "Webhooks for Ad Accounts".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meta_ads_pipeline.meta_api.calls import Call, Caller
from meta_ads_pipeline.meta_api.config import ClientConfig
from meta_ads_pipeline.meta_api.error_rules import BAD_RESPONSE
from meta_ads_pipeline.meta_api.errors import MetaApiError

AD_ACCOUNT_FIELDS = (
    "in_process_ad_objects",
    "with_issues_ad_objects",
    "effective_status",
    "creative_fatigue",
    "ad_recommendations",
)
"""What Meta announces about the objects of ad accounts."""


class SubscriptionService:
    """The two calls that have Meta send webhooks."""

    def __init__(self, caller: Caller, config: ClientConfig) -> None:
        self.caller = caller
        self.config = config

    def subscribe_app(
        self, callback_url: str, verify_token: str, fields: Sequence[str] = AD_ACCOUNT_FIELDS
    ) -> None:
        """Name the app's receiver for ad accounts; Meta tries the handshake at once.

        Replaces what was named before. Raises ``MetaApiError``, also where the handshake fails, and
        ``ValueError`` without the app's id and secret.
        """
        config = self.config
        if not config.app_id or not config.app_secret:
            raise ValueError("subscribing needs META_APP_ID and META_APP_SECRET")
        params = {
            "object": "ad_account",
            "callback_url": callback_url,
            "fields": ",".join(fields),
            "verify_token": verify_token,
            "access_token": f"{config.app_id}|{config.app_secret}",
        }
        self._post(f"{config.app_id}/subscriptions", params, "subscriptions", own_token=False)

    def subscribe_account(self, account_id: str) -> None:
        """Have the app hear of this ad account (without ``act_``); needs ``ads_management``."""
        params = {"app_id": self.config.app_id} if self.config.app_id else {}
        path = f"act_{account_id}/subscribed_apps"
        self._post(path, params, "subscribed_apps", account_id=account_id)

    def _post(self, path: str, params: dict[str, Any], edge: str, **options: Any) -> None:
        document = self.caller.call(Call("POST", path, params, edge, **options)).document
        success = document.get("success") if isinstance(document, dict) else None
        if str(success).lower() != "true":  # "true" was seen as text, too
            raise MetaApiError(BAD_RESPONSE, f"success is {success!r}", what=f"POST {path}")

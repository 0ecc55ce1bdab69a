"""Inspect and exchange access tokens (Meta's "Access token", "debug_token" and "System users").

Tokens are in the results and nowhere else: the classes do not show them, errors do not hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from meta_ads_pipeline.meta_api.calls import Call, Caller
from meta_ads_pipeline.meta_api.config import ClientConfig
from meta_ads_pipeline.meta_api.error_rules import BAD_RESPONSE
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope


@dataclass(frozen=True)
class TokenInfo:
    """What Meta says about a token; instants are UTC, None means never (or not told).

    ``error`` says why a token is not valid. ``accounts_by_scope`` holds the ids a scope is limited
    to, for the scopes that are.
    """

    is_valid: bool
    app_id: str | None
    application: str | None
    token_type: str | None
    user_id: str | None
    scopes: tuple[str, ...]
    accounts_by_scope: Mapping[str, tuple[str, ...]]
    issued_at: datetime | None
    expires_at: datetime | None
    data_access_expires_at: datetime | None
    error: MetaApiError | None = None


@dataclass(frozen=True)
class NewToken:
    """A token got in exchange; ``expires_at`` is UTC, None means that it does not expire."""

    access_token: str = field(repr=False)
    token_type: str
    expires_at: datetime | None


@dataclass
class TokenService:
    """Token calls for one connection."""

    caller: Caller
    config: ClientConfig

    def inspect(self, token: str | None = None) -> TokenInfo:
        """Ask about a token, by default the connection's own.

        With app id and secret the app asks; without, the token is asked about itself.
        """
        config = self.config
        subject = token or config.access_token
        params: dict[str, Any] = {"input_token": subject}
        as_app = bool(config.app_id and config.app_secret)
        if as_app:
            params["access_token"] = f"{config.app_id}|{config.app_secret}"
        elif token is not None:
            params["access_token"] = token
        document = self.caller.call(
            Call(
                "GET", "debug_token", params, "debug_token", own_token="access_token" not in params
            )
        ).document
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, dict):
            raise MetaApiError(BAD_RESPONSE, "no token data", what="GET debug_token")
        return _token_info(data)

    def granted_scopes(self) -> tuple[str, ...]:
        """The permissions granted to the connection's own token; needs no app credentials."""
        document = self.caller.call(Call("GET", "me/permissions", {}, "permissions")).document
        rows = document.get("data") if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise MetaApiError(BAD_RESPONSE, "no permissions", what="GET me/permissions")
        return tuple(str(row["permission"]) for row in rows if row.get("status") == "granted")

    def exchange(self, token: str | None = None, *, sixty_days: bool = False) -> NewToken:
        """Get a long-lived token for a short-lived one, or refresh a 60-day system-user token.

        ``sixty_days`` is for system-user tokens. The old token stays valid until its own expiry; an
        expired one cannot be exchanged (auth error). Needs app id and secret: ValueError without.
        """
        config = self.config
        if not config.app_id or not config.app_secret:
            raise ValueError("exchanging a token needs META_APP_ID and META_APP_SECRET")
        params: dict[str, Any] = {
            "grant_type": "fb_exchange_token",
            "client_id": config.app_id,
            "client_secret": config.app_secret,
            "fb_exchange_token": token or config.access_token,
        }
        if sixty_days:
            params["set_token_expires_in_60_days"] = True
        asked_at = datetime.now(UTC)
        document = self.caller.call(
            Call("GET", "oauth/access_token", params, "oauth", own_token=False)
        ).document
        new = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(new, str) or not new:
            raise MetaApiError(BAD_RESPONSE, "no new token", what="GET oauth/access_token")
        seconds = int(document.get("expires_in") or 0)
        return NewToken(
            new,
            str(document.get("token_type", "bearer")),
            asked_at + timedelta(seconds=seconds) if seconds else None,
        )


def _token_info(data: Mapping[str, Any]) -> TokenInfo:
    error = data.get("error")
    return TokenInfo(
        is_valid=data.get("is_valid") is True,
        app_id=_text(data.get("app_id")),
        application=_text(data.get("application")),
        token_type=_text(data.get("type")),
        user_id=_text(data.get("user_id")),
        scopes=tuple(str(scope) for scope in data.get("scopes") or ()),
        accounts_by_scope={
            str(each.get("scope")): tuple(str(target) for target in each.get("target_ids") or ())
            for each in data.get("granular_scopes") or ()
            if each.get("target_ids")
        },
        issued_at=_instant(data.get("issued_at")),
        expires_at=_instant(data.get("expires_at")),
        data_access_expires_at=_instant(data.get("data_access_expires_at")),
        error=error_from_envelope(
            {**error, "error_subcode": error.get("subcode", error.get("error_subcode"))},
            what="debug_token",
        )
        if isinstance(error, Mapping)
        else None,
    )


def _instant(seconds: object) -> datetime | None:
    """Unix seconds as UTC; 0 and absence mean never, not 1970."""
    value = int(str(seconds or 0))
    return datetime.fromtimestamp(value, UTC) if value > 0 else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)

"""Access tokens: who may read what, expiry on the simulated clock, exchange and inspection."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig, TokenSpec
from meta_graph_simulator.graph import errors
from meta_graph_simulator.graph.fields import parse_flag

SIXTY_DAYS = 60 * 86_400
_AD_SCOPES = frozenset({"ads_read", "ads_management"})


class TokenRegistry:
    """The tokens of one simulator."""

    def __init__(self, config: SimulatorConfig, clock: SimulatedClock) -> None:
        self._config = config
        self._clock = clock
        self._started = int(clock.time())
        self._tokens = {spec.token: spec for spec in config.tokens}

    def add(self, spec: TokenSpec) -> None:
        """Make a token known, or replace what is known of it."""
        self._tokens[spec.token] = spec

    def change(self, token: str, **changes: Any) -> TokenSpec:
        """Change a token (``expires_at``, ``revoked_subcode``, ...), known or not."""
        spec = self._tokens.get(token) or TokenSpec(token=token)
        changed = TokenSpec.model_validate({**spec.model_dump(), **changes})
        self.add(changed)
        return changed

    def expire(self, token: str) -> None:
        """The token expired a second ago."""
        self.change(token, expires_at=int(self._clock.time()) - 1)

    def repair(self, token: str) -> None:
        """Undo expiry and revocation."""
        self.change(token, expires_at=0, data_access_expires_at=0, revoked_subcode=None)

    def look_up(self, token: str) -> TokenSpec | None:
        """What is known of a token; any token is known where unknown ones are accepted."""
        spec = self._tokens.get(token)
        if spec is None and token == f"{self._config.app_id}|{self._config.app_secret}":
            return TokenSpec(token=token, type="APP", scopes=())
        if spec is None and self._config.accepts_any_token:
            return TokenSpec(token=token, user_id=self._config.user_id)
        return spec

    def failure(self, spec: TokenSpec | None) -> errors.GraphError | None:
        """Why a token does not work now, None if it does."""
        if spec is None:
            return errors.invalid_token()
        if spec.revoked_subcode is not None:
            return errors.invalid_token(spec.revoked_subcode)
        now = self._clock.time()
        if spec.expires_at and now >= spec.expires_at:
            return errors.invalid_token(463, self._expired_text(spec.expires_at))
        if spec.data_access_expires_at and now >= spec.data_access_expires_at:
            return errors.invalid_token(493)
        return None

    def _expired_text(self, expires_at: int) -> str:
        def spoken(instant: float) -> str:
            return datetime.fromtimestamp(instant, UTC).strftime("%A, %d-%b-%y %H:%M:%S UTC")

        return (
            f"Error validating access token: Session has expired on {spoken(expires_at)}."
            f" The current time is {spoken(self._clock.time())}."
        )

    def authenticate(self, token: str | None, proof: str | None) -> TokenSpec:
        """The token's specification.

        Raises GraphError: 104 without token, 190 where it does not work, 100 on a wrong proof.
        """
        if not token:
            raise errors.token_required()
        spec = self.look_up(token)
        failure = self.failure(spec)
        if failure is not None or spec is None:
            raise failure or errors.invalid_token()
        secret = self._config.app_secret
        if secret and spec.type != "APP":
            if proof is None:
                if self._config.require_proof:
                    raise errors.proof_required()
            elif not hmac.compare_digest(proof, self._proof(secret, token)):
                raise errors.bad_proof()
        return spec

    @staticmethod
    def _proof(secret: str, token: str) -> str:
        return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def check_scopes(spec: TokenSpec) -> None:
        """Refuse a token that may not read ads with code 200."""
        if not _AD_SCOPES.intersection(spec.scopes):
            raise errors.missing_permission(
                "Requires ads_read or ads_management permission to manage the object"
            )

    def check_account(self, spec: TokenSpec, account_id: str) -> None:
        """Refuse an account outside the token's scopes or assignments with code 200."""
        allowed = spec.accounts is None or account_id in spec.accounts
        if not allowed or not _AD_SCOPES.intersection(spec.scopes):
            raise errors.missing_permission(
                "Ad account owner has NOT grant ads_management or ads_read permission"
            )

    def exchange(self, params: Mapping[str, str]) -> dict[str, Any]:
        """``/oauth/access_token``: exchange or refresh of a token, or an app token.

        The old token keeps working until its own expiry.

        Raises GraphError: 101 or 1 for wrong app credentials, 190 for a token that does not work.
        """
        self._check_client(params)
        grant = params.get("grant_type")
        if grant == "client_credentials":
            token = f"{self._config.app_id}|{self._config.app_secret}"
            return {"access_token": token, "token_type": "bearer"}
        if grant != "fb_exchange_token":
            raise errors.invalid_parameter("Missing or unknown grant_type parameter.")
        old = params.get("fb_exchange_token")
        if not old:
            raise errors.invalid_parameter("Missing fb_exchange_token parameter.")
        spec = self.look_up(old)
        failure = self.failure(spec)
        if failure is not None or spec is None:
            raise failure or errors.invalid_token()
        now = int(self._clock.time())
        sixty_days = parse_flag(params.get("set_token_expires_in_60_days"))
        lasting = spec.type == "SYSTEM_USER" and not sixty_days
        new = spec.model_copy(
            update={
                "token": f"EAASIM{secrets.token_hex(40)}",
                "issued_at": now,
                "expires_at": 0 if lasting else now + SIXTY_DAYS,
            }
        )
        self.add(new)
        answer: dict[str, Any] = {"access_token": new.token, "token_type": "bearer"}
        if not lasting:
            answer["expires_in"] = SIXTY_DAYS
        return answer

    def _check_client(self, params: Mapping[str, str]) -> None:
        client_id, client_secret = params.get("client_id"), params.get("client_secret")
        if not client_id:
            raise errors.GraphError(101, "Missing client_id parameter.")
        if not client_secret:
            raise errors.GraphError(101, "Missing client_secret parameter.")
        if self._config.app_secret is None:
            return
        if client_id != self._config.app_id:
            raise errors.GraphError(
                101,
                "Error validating application. Cannot get application info due to a system error.",
            )
        if not hmac.compare_digest(client_secret.encode(), self._config.app_secret.encode()):
            raise errors.GraphError(1, "Error validating client secret.")

    def inspect(self, token: str) -> dict[str, Any]:
        """The ``data`` of ``/debug_token``; a dead token has ``is_valid`` false and an error."""
        spec = self.look_up(token)
        failure = self.failure(spec)
        if spec is None:
            return {
                "error": {"code": 190, "message": "Invalid OAuth access token."},
                "is_valid": False,
                "scopes": [],
            }
        data: dict[str, Any] = {
            "app_id": spec.app_id or self._config.app_id,
            "type": spec.type,
            "application": self._config.app_name,
            "data_access_expires_at": spec.data_access_expires_at,
            "expires_at": spec.expires_at,
            "is_valid": failure is None,
            "issued_at": spec.issued_at or self._started,
            "scopes": list(spec.scopes),
            "user_id": spec.user_id,
        }
        if failure is not None:
            data["error"] = {"code": failure.code, "subcode": failure.subcode}
            data["error"]["message"] = failure.message
        else:
            data["granular_scopes"] = [
                {"scope": scope, **({"target_ids": list(spec.accounts)} if spec.accounts else {})}
                for scope in spec.scopes
            ]
        return data

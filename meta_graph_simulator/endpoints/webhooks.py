"""Webhooks: subscriptions of the app and of ad accounts, and signed deliveries of changes.

As Meta does: the receiver is verified by a handshake when it is named; a delivery is JSON with
escaped unicode and slashes, signed over its bytes; one that is not answered with 200 is repeated at
once and then ever less often, here for some seconds instead of 36 hours.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from meta_graph_simulator.accounts.node_store import Node
from meta_graph_simulator.clock import SimulatedClock
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.graph.errors import GraphError

_PAUSES = (0.0, 0.5, 2.0, 8.0)
_TIMEOUT_SECONDS = 10.0
_TYPES = {"campaign": "campaign", "adset": "adset", "ad": "ad", "creative": "creative"}
_LEVELS = {"campaign": "CAMPAIGN", "adset": "AD_SET", "ad": "AD", "creative": "CREATIVE"}


class Webhooks:
    """Who is told of what; deliveries go out in tasks of their own."""

    def __init__(self, config: SimulatorConfig, clock: SimulatedClock) -> None:
        self._config, self._clock = config, clock
        self._subscriptions: dict[str, dict[str, Any]] = {}
        self._accounts: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.delivered = 0
        """Deliveries that were answered with 200."""

    async def subscribe_app(self, params: Mapping[str, str]) -> None:
        """Name a receiver. Raises GraphError 100 or 2200: parameters, or the handshake, fail."""
        topic, url = params.get("object"), params.get("callback_url")
        if not topic or not url or not params.get("fields"):
            raise GraphError(100, "(#100) object, callback_url and fields are required")
        challenge = str(secrets.randbelow(10**9))
        query = urllib.parse.urlencode(
            {
                "hub.mode": "subscribe",
                "hub.challenge": challenge,
                "hub.verify_token": params.get("verify_token", ""),
            }
        )
        status, body = await asyncio.to_thread(_exchange, f"{url}?{query}", None, {})
        if status != 200 or body != challenge.encode():
            raise GraphError(
                2200,
                "(#2200) Callback verification failed with the following errors: "
                f"HTTP Status Code = {status}; HTTP Message = {body[:60]!r}",
            )
        self._subscriptions[topic] = {
            "object": topic,
            "callback_url": url,
            "active": True,
            "fields": [{"name": name} for name in params["fields"].split(",")],
        }

    def app_subscriptions(self) -> list[dict[str, Any]]:
        """What ``GET /APP/subscriptions`` lists."""
        return list(self._subscriptions.values())

    def clear_app(self) -> None:
        """Forget the receivers."""
        self._subscriptions.clear()

    def set_account(self, account_id: str, subscribed: bool) -> None:
        """Have the app hear of an ad account, or no more."""
        (self._accounts.add if subscribed else self._accounts.discard)(account_id)

    def account_apps(self, account_id: str) -> list[dict[str, Any]]:
        """What ``GET /act_A/subscribed_apps`` lists."""
        config = self._config
        app = {"id": config.app_id, "name": config.app_name}
        return [app] if account_id in self._accounts else []

    def status_changed(self, node: Node) -> None:
        """Announce that an object's ``effective_status`` is another one."""
        value = {
            "object_id": node.id,
            "object_type": _TYPES[node.kind],
            "changed_fields": ["effective_status"],
        }
        self._announce(node, "effective_status", "field_changed", value)

    def has_issues(self, node: Node) -> None:
        """Announce what hinders an object: each item of its ``issues_info``."""
        for issue in node.document.get("issues_info") or [{}]:
            told = {key: issue[key] for key in ("error_summary", "error_message") if key in issue}
            code = {"error_code": str(issue["error_code"])} if "error_code" in issue else {}
            value = {"id": node.id, "level": _LEVELS[node.kind], **code, **told}
            self._announce(node, "with_issues_ad_objects", "with_issues_ad_objects", value)

    def processed(self, node: Node) -> None:
        """Announce that a new or edited object is in process no more."""
        status = str(node.document["effective_status"]).replace("_", " ").capitalize()
        value = {"id": node.id, "level": _LEVELS[node.kind], "status_name": status}
        self._announce(node, "in_process_ad_objects", "in_process_ad_objects", value)

    def _announce(self, node: Node, subscribed: str, field: str, value: dict[str, Any]) -> None:
        subscription = self._subscriptions.get("ad_account")
        if subscription is None or node.account_id not in self._accounts:
            return
        if {"name": subscribed} not in subscription["fields"]:
            return
        change = {"field": field, "value": value}
        entry = {"id": node.account_id, "time": int(self._clock.time()), "changes": [change]}
        payload = {"object": "ad_account", "entry": [entry]}
        task = asyncio.get_running_loop().create_task(
            self._deliver(subscription["callback_url"], payload)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, url: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()
        secret = (self._config.app_secret or "").encode()
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
        }
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            status, _ = await asyncio.to_thread(_exchange, url, body, headers)
            if status == 200:
                self.delivered += 1
                return


def _exchange(url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body; 0 where nobody answers."""
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - a receiver's
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (urllib.error.URLError, OSError, ValueError):
        return 0, b""

"""Tokens over HTTP: expiry, revocation, scopes, proofs, exchange, inspection."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from meta_graph_simulator.config import SimulatorConfig, TokenSpec
from meta_graph_simulator.http.server import SimulatorServer

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW = int(NOON.timestamp())
DAY = 86_400
SECRET, APP = "s3cret", "4242"


@pytest.fixture(scope="module")
def guarded() -> Iterator[SimulatorServer]:
    """A simulator that knows its tokens and verifies proofs."""
    tokens = (
        TokenSpec(token="SYSTEM"),
        TokenSpec(token="SHORT", type="USER", expires_at=NOW + 3600),
        TokenSpec(token="EXPIRED", type="USER", expires_at=NOW - DAY),
        TokenSpec(token="IDLE", type="USER", data_access_expires_at=NOW - 1),
        TokenSpec(token="NO-ADS", scopes=("business_management",)),
        TokenSpec(token="NO-ACCOUNT", accounts=()),
    )
    config = SimulatorConfig(
        accounts=1,
        ads=3,
        start_time=NOON,
        clock_speed=0,
        app_id=APP,
        app_secret=SECRET,
        tokens=tokens,
    )
    with SimulatorServer(config) as server:
        yield server


def call(server: SimulatorServer, path: str, **params: str) -> tuple[int, dict[str, Any]]:
    response = requests.get(f"{server.url}/v26.0/{path}", params=params, timeout=10)
    return response.status_code, response.json()


def account(server: SimulatorServer) -> str:
    return str(server.control.state()["accounts"][0]["id"])


def proof(token: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("token", "subcode"), [("EXPIRED", 463), ("IDLE", 493), ("NEVER-SEEN", None)]
)
def test_tokens_that_do_not_work(guarded: SimulatorServer, token: str, subcode: int | None) -> None:
    status, document = call(guarded, "me", access_token=token)
    assert status == 400
    assert document["error"]["code"] == 190
    assert document["error"].get("error_subcode") == subcode
    assert document["error"]["type"] == "OAuthException"


def test_permissions(guarded: SimulatorServer) -> None:
    path = account(guarded)
    for token in ("NO-ADS", "NO-ACCOUNT"):
        status, document = call(guarded, path, access_token=token)
        assert (status, document["error"]["code"]) == (403, 200)
    campaign = call(guarded, f"{path}/campaigns", access_token="SYSTEM")[1]["data"][0]["id"]
    _, document = call(guarded, campaign, access_token="NO-ACCOUNT")
    assert document["error"]["error_subcode"] == 33
    assert call(guarded, "me/adaccounts", access_token="NO-ACCOUNT")[1]["data"] == []
    assert call(guarded, "me/adaccounts", access_token="NO-ADS")[1]["error"]["code"] == 200


def test_appsecret_proof(guarded: SimulatorServer) -> None:
    path = account(guarded)
    right = {"access_token": "SYSTEM", "appsecret_proof": proof("SYSTEM")}
    assert call(guarded, path, **right)[0] == 200
    wrong = {"access_token": "SYSTEM", "appsecret_proof": proof("SYSTEM", "other")}
    status, document = call(guarded, path, **wrong)
    assert status == 400
    assert document["error"]["code"] == 100
    assert document["error"]["type"] == "GraphMethodException"
    assert document["error"]["message"] == "Invalid appsecret_proof provided in the API argument"
    assert call(guarded, path, access_token="SYSTEM")[0] == 200
    guarded.control.configure(require_proof=True)
    status, document = call(guarded, path, access_token="SYSTEM")
    guarded.control.configure(require_proof=False)
    assert (status, document["error"]["code"]) == (400, 100)


def exchange(server: SimulatorServer, token: str, **more: str) -> tuple[int, dict[str, Any]]:
    params = {
        "grant_type": "fb_exchange_token",
        "client_id": APP,
        "client_secret": SECRET,
        "fb_exchange_token": token,
    }
    return call(server, "oauth/access_token", **(params | more))


def test_exchange_of_a_short_lived_token(guarded: SimulatorServer) -> None:
    status, document = exchange(guarded, "SHORT")
    assert status == 200
    assert document["token_type"] == "bearer"
    assert document["expires_in"] == 60 * DAY
    new = document["access_token"]
    assert new != "SHORT"
    for token in ("SHORT", new):
        assert call(guarded, "me", access_token=token)[0] == 200
    guarded.control.advance_clock(2 * 3600)
    assert call(guarded, "me", access_token="SHORT")[1]["error"]["error_subcode"] == 463
    assert exchange(guarded, "SHORT")[1]["error"]["code"] == 190
    assert call(guarded, "me", access_token=new)[0] == 200
    guarded.control.advance_clock(60 * DAY)
    assert call(guarded, "me", access_token=new)[1]["error"]["error_subcode"] == 463
    guarded.control.set_clock(NOON)


def test_refresh_of_a_system_user_token(guarded: SimulatorServer) -> None:
    _, document = exchange(guarded, "SYSTEM", set_token_expires_in_60_days="true")
    assert document["expires_in"] == 60 * DAY
    _, lasting = exchange(guarded, "SYSTEM")
    assert "expires_in" not in lasting
    assert call(guarded, "me", access_token=document["access_token"])[0] == 200


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"client_id": "1"}, 101),
        ({"client_secret": "guess"}, 1),
        ({"client_id": ""}, 101),
        ({"grant_type": "magic"}, 100),
        ({"fb_exchange_token": ""}, 100),
        ({"fb_exchange_token": "EXPIRED"}, 190),
    ],
)
def test_exchange_refuses(guarded: SimulatorServer, more: dict[str, str], code: int) -> None:
    status, document = exchange(guarded, "SYSTEM", **more)
    assert status == 400
    assert document["error"]["code"] == code


def test_debug_token(guarded: SimulatorServer) -> None:
    app_token = f"{APP}|{SECRET}"

    def inspected(token: str) -> dict[str, Any]:
        status, document = call(guarded, "debug_token", input_token=token, access_token=app_token)
        assert status == 200
        return dict(document["data"])

    system = inspected("SYSTEM")
    assert system["is_valid"] is True
    assert (system["type"], system["app_id"]) == ("SYSTEM_USER", APP)
    assert (system["expires_at"], system["data_access_expires_at"]) == (0, 0)
    assert system["issued_at"] == NOW
    assert "ads_read" in system["scopes"]
    assert inspected("SHORT")["expires_at"] == NOW + 3600
    dead = inspected("EXPIRED")
    assert dead["is_valid"] is False
    assert (dead["error"]["code"], dead["error"]["subcode"]) == (190, 463)
    assert inspected("NEVER-SEEN")["is_valid"] is False
    status, document = call(
        guarded, "debug_token", input_token="SYSTEM", access_token=f"{APP}|wrong"
    )
    assert (status, document["error"]["code"]) == (400, 190)
    unversioned = requests.get(
        f"{guarded.url}/debug_token",
        params={"input_token": "SYSTEM", "access_token": app_token},
        timeout=10,
    )
    assert unversioned.json()["data"]["is_valid"] is True


def test_tokens_change_at_run_time(graph: Any, account: str) -> None:
    graph.token = "RUNTIME"
    assert graph.get(account).status_code == 200
    graph.control.expire_token("RUNTIME")
    assert graph.error(graph.get(account))["error_subcode"] == 463
    graph.control.repair_token("RUNTIME")
    assert graph.get(account).status_code == 200
    graph.control.revoke_token("RUNTIME", 458)
    assert graph.error(graph.get(account))["error_subcode"] == 458
    graph.control.add_token("RUNTIME", accounts=[])
    assert graph.error(graph.get(account))["code"] == 200

"""Tokens: what Meta says about one, and getting another."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from tests.meta_api.conftest import SECRET, TOKEN
from tests.meta_api.scripted_graph import Reply, ScriptedGraph, error

ALIVE = {
    "app_id": "123", "type": "SYSTEM_USER", "application": "My app",
    "data_access_expires_at": 1771459200, "expires_at": 1768867200, "is_valid": True,
    "issued_at": 1763683200, "scopes": ["ads_read", "business_management"],
    "granular_scopes": [{"scope": "ads_read", "target_ids": ["123", 4]}, {"scope": "x"}],
    "user_id": "10001",
}  # fmt: skip


def test_a_living_token(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(Reply({"data": ALIVE}))
    info = client.inspect_token()
    assert info.is_valid
    assert (info.app_id, info.application, info.user_id) == ("123", "My app", "10001")
    assert (info.token_type, info.scopes) == ("SYSTEM_USER", ("ads_read", "business_management"))
    assert info.accounts_by_scope == {"ads_read": ("123", "4")}
    assert info.issued_at == datetime(2025, 11, 21, tzinfo=UTC)
    assert info.expires_at == datetime(2026, 1, 20, tzinfo=UTC)
    assert info.data_access_expires_at == datetime(2026, 2, 19, tzinfo=UTC)
    assert info.error is None
    (request,) = graph.requests
    assert request.path == "/v26.0/debug_token"
    assert request.params["input_token"] == TOKEN
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("never", [{"expires_at": 0}, {}, {"expires_at": 0, "issued_at": 0}])
def test_zero_is_never_not_1970(never: dict, graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(Reply({"data": {"is_valid": True, "scopes": ["ads_management"], **never}}))
    info = client.inspect_token()
    assert (info.expires_at, info.issued_at) == (None, None)


def test_data_access_may_end_before_the_token(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(Reply({"data": {**ALIVE, "expires_at": 0}}))
    info = client.inspect_token()
    assert info.expires_at is None


def test_a_dead_token_is_an_answer_not_a_failure(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    dead = {"app_id": "1", "type": "USER", "is_valid": False, "expires_at": 1763000000,
            "error": {"code": 190, "subcode": 463, "message": "expired"}, "scopes": []}  # fmt: skip
    graph.reply(Reply({"data": dead}))
    info = client.inspect_token()
    assert not info.is_valid
    assert info.error is not None
    assert (info.error.kind, info.error.subcode) == (ErrorKind.AUTH, 463)
    assert "expired" in info.error.explanation


def test_the_app_asks_where_its_secret_is_known(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    client = make_client(app_id="77", app_secret=SECRET)
    graph.reply(Reply({"data": ALIVE}), Reply({"data": ALIVE}))
    client.inspect_token("EAAother")
    (request,) = graph.requests
    assert request.params == {
        "locale": "en_US",
        "input_token": "EAAother",
        "access_token": f"77|{SECRET}",
    }
    assert "authorization" not in request.headers


def test_another_token_without_app_secret_is_asked_about_itself(
    graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(Reply({"data": ALIVE}))
    client.inspect_token("EAAother")
    assert graph.requests[0].params == {
        "locale": "en_US",
        "input_token": "EAAother",
        "access_token": "EAAother",
    }
    assert "authorization" not in graph.requests[0].headers


def test_exchange(graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]) -> None:
    client = make_client(app_id="77", app_secret=SECRET)
    graph.reply(Reply({"access_token": "EAAnew", "token_type": "bearer", "expires_in": 5183944}))
    new = client.exchange_token()
    assert (new.access_token, new.token_type) == ("EAAnew", "bearer")
    assert new.expires_at is not None
    left = new.expires_at - datetime.now(UTC)
    assert timedelta(days=59) < left <= timedelta(seconds=5183944)
    (request,) = graph.requests
    assert request.path == "/v26.0/oauth/access_token"
    assert request.params == {
        "locale": "en_US",
        "grant_type": "fb_exchange_token",
        "client_id": "77",
        "client_secret": SECRET,
        "fb_exchange_token": TOKEN,
    }
    assert "authorization" not in request.headers


def test_a_system_user_token_is_refreshed_for_sixty_days(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    client = make_client(app_id="77", app_secret=SECRET)
    graph.reply(Reply({"access_token": "EAAnew"}))
    assert client.exchange_token("EAAold", sixty_days=True).expires_at is None
    assert graph.requests[0].params["set_token_expires_in_60_days"] == "true"
    assert graph.requests[0].params["fb_exchange_token"] == "EAAold"


def test_an_expired_token_cannot_be_exchanged(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    client = make_client(app_id="77", app_secret=SECRET)
    graph.reply(error(190, "expired", error_subcode=463))
    with pytest.raises(MetaApiError) as caught:
        client.exchange_token()
    assert caught.value.kind is ErrorKind.AUTH
    assert len(graph.requests) == 1


def test_an_exchange_without_app_names_the_settings(client: MetaAdsClient) -> None:
    with pytest.raises(ValueError, match="META_APP_ID and META_APP_SECRET"):
        client.exchange_token()


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": None}])
def test_an_answer_without_token_data(
    body: dict, graph: ScriptedGraph, client: MetaAdsClient
) -> None:
    graph.reply(Reply(body))
    with pytest.raises(MetaApiError, match="no token data"):
        client.inspect_token()

"""No token, proof, secret or paging URL in anything that can be written down."""

import hashlib
import hmac
import io
import logging
import socket
import traceback
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import ClientConfig
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.session import GraphTransport
from meta_ads_pipeline.redaction import REDACTED, redact
from tests.meta_api.conftest import SECRET, TOKEN
from tests.meta_api.scripted_graph import Reply, ScriptedGraph, error

PROOF = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
OTHER_TOKEN = "EAAotherToken9876543210"


def leaks(text: str) -> list[str]:
    return [
        each
        for each in (TOKEN, SECRET, PROOF, OTHER_TOKEN, "EAAleak", "access_token=EAA")
        if each in text or quote(each, safe="") in text
    ]


def everything_of(raised: BaseException) -> str:
    """All that a logger, a crash reporter or Dagster could write about an exception."""
    parts = ["".join(traceback.format_exception(raised))]
    linked: BaseException | None = raised
    while linked is not None:
        parts += [str(linked), repr(linked), repr(linked.args), repr(vars(linked))]
        linked = linked.__cause__ or linked.__context__
    return "\n".join(parts)


NAMES = ["access_token", "appsecret_proof", "client_secret", "input_token", "fb_exchange_token"]
SHAPES = [
    "https://h/v26.0/x?a=1&{p}={v}&limit=2",
    "{p}={v}",
    "a%26{p}%3D{v}%26b",
    '{{"{p}": "{v}"}}',
    "{{'{p}': '{v}'}}",
    '{{\\"{p}\\":\\"{v}\\"}}',
    "('{p}', '{v}')",
]


@pytest.mark.parametrize("parameter", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_named_parameters(parameter: str, shape: str) -> None:
    value = "s3cr3tValue123"
    text = shape.format(p=parameter, v=value)
    assert value in text
    assert value not in redact(text)
    # Of a link of the Graph API the path is left, of anything else the parameter's name.
    assert parameter in redact(text) or redact(text) == "https://h/v26.0/x?[redacted]"


def test_the_link_to_a_next_page_loses_its_parameters() -> None:
    link = "https://graph.facebook.com/v26.0/act_1/ads?fields=id&limit=25&after=QVFIUk9"
    assert redact(f'at "{link}", then') == (
        'at "https://graph.facebook.com/v26.0/act_1/ads?[redacted]", then'
    )
    elsewhere = "https://shop.example/landing?after=sale&utm_source=meta"
    assert redact(elsewhere) == elsewhere


def test_a_client_s_secrets_are_known_to_every_later_redaction() -> None:
    secret, token = "anAppSecretOfNoShape", "aTokenOfNoShape"
    assert token in redact(f"x {token} y")
    transport = GraphTransport(ClientConfig(access_token=token, app_id="1", app_secret=secret))
    assert len(transport.secrets) == 3
    for each in transport.secrets:
        assert redact(f"x {each} y") == "x [redacted] y"


@given(
    st.text(alphabet="abcXYZ019_-", min_size=20, max_size=200),
    st.text(alphabet=" ,;:()äé\n", max_size=5),
)
def test_tokens_by_shape(rest: str, around: str) -> None:
    assert rest not in redact(f"{around} EAA{rest} {around}")
    assert rest not in redact(f"Authorization: Bearer {rest}")
    assert rest not in redact(f"called with 123456789|{rest}!")
    assert rest not in redact(f"value <{rest}>", [rest])


@pytest.mark.parametrize(
    "text", ["spend 12.34 on act_123", "GET act_1/insights: HTTP 500", "a|b", "EAA"]
)
def test_harmless_text_stays(text: str) -> None:
    assert redact(text) == text
    assert REDACTED not in redact(text)


def test_the_token_is_in_the_header_and_the_proof_in_the_parameters(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    graph.reply(Reply({"id": "act_1"}), Reply({"report_run_id": "5"}))
    client = make_client(app_id="77", app_secret=SECRET)
    client.get_account("1")
    (request,) = graph.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.query["appsecret_proof"] == PROOF
    assert "access_token" not in request.params
    assert TOKEN not in str(request.query)


def test_no_proof_without_an_app_secret(graph: ScriptedGraph, client: MetaAdsClient) -> None:
    graph.reply(Reply({"id": "act_1"}))
    client.get_account("1")
    assert "appsecret_proof" not in graph.requests[0].params


def test_a_netrc_file_does_not_replace_the_token(
    graph: ScriptedGraph, client: MetaAdsClient, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    graph.reply(Reply({"id": "act_1"}))
    client.get_account("1")
    assert graph.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


NASTY = f"bad url https://graph.facebook.com/x?access_token={TOKEN}&appsecret_proof={PROOF}"

FAILURES = [
    [Reply(reset=True)] * 3,
    [Reply({"data": []}, cut=5)] * 3,
    [Reply(b"<html>sorry</html>", 500)] * 3,
    [Reply(NASTY.encode(), 200)] * 3,
    [error(190, f"token {TOKEN} expired; {NASTY}", error_subcode=463)],
    [error(100, NASTY, error_user_msg=NASTY)],
    [Reply({}, 302, {"Location": f"https://elsewhere/?access_token={TOKEN}"})],
    [error(200, NASTY)] * 3,
    [Reply({"data": [], "paging": {"next": f"https://x/?access_token={TOKEN}"}})],
]  # fmt: skip


@pytest.mark.parametrize("script", FAILURES)
def test_no_error_holds_a_secret(
    script: list[Reply],
    graph: ScriptedGraph,
    make_client: Callable[..., MetaAdsClient],
    calls: list,
) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)  # urllib3 logs request lines
    try:
        graph.reply(*script)
        client = make_client(app_id="77", app_secret=SECRET)
        with pytest.raises(MetaApiError) as caught:
            client.get_campaigns("1")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "act_1/campaigns" in log.getvalue()
    assert not leaks(everything_of(caught.value))
    assert not leaks(log.getvalue())
    assert not leaks(repr(calls))
    assert not list(graph.replies)


def test_an_unreachable_host_is_named_without_the_url(
    make_client: Callable[..., MetaAdsClient],
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = make_client(graph_url=f"http://127.0.0.1:{port}", app_id="7", app_secret=SECRET)
    with pytest.raises(MetaApiError) as caught:
        client.get_accounts()
    text = str(caught.value)
    assert "connection refused" in text
    assert f"http://127.0.0.1:{port}" in text
    assert "META_GRAPH_URL" in text
    assert not leaks(everything_of(caught.value))
    assert caught.value.__context__ is None


def test_token_calls_leak_nothing(
    graph: ScriptedGraph, make_client: Callable[..., MetaAdsClient]
) -> None:
    client = make_client(app_id="77", app_secret=SECRET)
    for call in (client.inspect_token, client.exchange_token):
        graph.reply(*[Reply(reset=True)] * 3)
        with pytest.raises(MetaApiError) as caught:
            call(OTHER_TOKEN)
        assert not leaks(everything_of(caught.value))
    graph.reply(Reply({"access_token": OTHER_TOKEN, "expires_in": 5}))
    assert not leaks(repr(client.exchange_token()))


@pytest.mark.parametrize("token", ["", "  ", "EAA with blank inside", "EAA\r\nX: y", "EAAüüü"])
def test_an_unusable_token_is_refused_unseen(token: str) -> None:
    with pytest.raises(ValueError, match="access token") as caught:
        MetaAdsClient(access_token=token)
    assert token.strip() == "" or token not in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"graph_url": "graph.facebook.com"}, {"graph_url": ""}, {"api_version": "26"}]
)
def test_unusable_settings_name_their_variable(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="META_"):
        MetaAdsClient(access_token=TOKEN, **settings)


def test_an_account_id_is_a_number(client: MetaAdsClient, account: AccountRef) -> None:
    with pytest.raises(ValueError, match="ad account id"):
        client.get_campaigns("act_../me?x=")
    assert account.account_id == "1"


@pytest.mark.parametrize(
    "unit", ["x", "9", "a://", "a://b:", "http://", "/v1.0/a", "EAA", "a.", "12345|", "oauth "]
)
def test_a_megabyte_of_anything_is_redacted_in_linear_time(unit):
    # With a pattern that looks back and forth this takes hours: there is nothing to time.
    text = unit * (1_000_000 // len(unit))
    assert "SECRET" not in redact(f"{text} access_token=SECRET")

"""One HTTP exchange with the Graph API on the SDK's session, and what counts as a response.

The SDK (facebook-business 26) gives the session: host, app secret proof, CA bundle. What it does
with a response is not used, because it takes HTTP 500 with an HTML body for success, has no
timeout of its own, and lets exceptions out whose text holds the token. Here the token travels in
the Authorization header, so it is in no URL; every response is checked; nothing is retried.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import requests
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from meta_ads_pipeline.meta_api.config import ClientConfig
from meta_ads_pipeline.meta_api.error_rules import (
    BAD_CA_BUNDLE,
    BAD_RESPONSE,
    NETWORK,
    REDIRECT,
    UNTRUSTED,
    ErrorRule,
    rule_for,
)
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.usage import Usage, UseCase, parse_usage
from meta_ads_pipeline.meta_api.waiting import remember_connection
from meta_ads_pipeline.redaction import protect_url_loggers, redact, remember_secrets

LOCALE = "en_US"
"""The language of Meta's error texts, which otherwise is that of the token's person."""

JSON_HEADERS = {"Accept": "application/json", **FacebookAdsApi.HTTP_DEFAULT_HEADERS}


@dataclass(frozen=True)
class GraphResponse:
    """A checked response: JSON with strings kept, fractions as ``Decimal``, integers as ``int``."""

    document: Any
    status: int
    usage: Usage


class _Bearer(AuthBase):
    """The token in the Authorization header; also keeps requests from using ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication for calls that name their token among the parameters."""
    return request


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _exact(text: str) -> Decimal | str:
    """The number, or its text where no decimal can have its exponent."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return text


def _whole(text: str) -> int | Decimal | str:
    """Python refuses to read integers of thousands of digits."""
    return int(text) if len(text) < _LONGEST_INTEGER else _exact(text)


_LONGEST_INTEGER = 1000
_DECODER = json.JSONDecoder(parse_float=_exact, parse_int=_whole, parse_constant=_refuse_constant)
MOST_LEVELS = 250
"""Objects within objects that are read; what lies deeper is replaced by a text that says so."""
TOO_DEEP = f"(nested more than {MOST_LEVELS} levels deep)"


def parse_json(content: bytes) -> Any:
    """Parse a response's body; fractions become Decimal. Raises ValueError on anything not JSON."""
    text = content.decode("utf-8-sig")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return _DECODER.decode(_cut_below(text, MOST_LEVELS))


_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def _cut_below(text: str, levels: int) -> str:
    """The JSON text with a text in place of every object and list that is nested too deep."""
    kept: list[str] = []
    depth = start = 0
    for token in _STRUCTURE.finditer(text):
        bracket = token[0]
        if bracket in ("{", "["):
            depth += 1
            if depth == levels + 1:
                kept.append(text[start : token.start()] + json.dumps(TOO_DEEP))
        elif bracket in ("}", "]"):
            if depth == levels + 1:
                start = token.end()
            depth -= 1
    return "".join([*kept, text[start:]])


def encode_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as the SDK sends them: lists, objects and booleans as JSON, the rest as text."""
    return {
        name: json.dumps(value, separators=(",", ":"))
        if isinstance(value, (dict, list, tuple, bool))
        else str(value)
        for name, value in params.items()
        if value is not None
    }


class GraphTransport:
    """Sends one request at a time per thread; each thread has its own SDK session and pool."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._local = threading.local()
        protect_url_loggers()
        remember_secrets(*self.secrets)

    @property
    def api_version(self) -> str:
        """The version that is part of every path."""
        return self._config.api_version

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be written down."""
        token, app_secret = self._config.access_token, self._config.app_secret
        if app_secret is None:
            return (token,)
        proof = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256)
        return (token, app_secret, proof.hexdigest())

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        *,
        account_id: str | None = None,
        use_case: UseCase = UseCase.MANAGEMENT,
        own_token: bool = True,
    ) -> GraphResponse:
        """Make one call; raises MetaApiError on anything but a proper response.

        ``path`` is relative to the version, without a leading slash. With ``own_token`` false
        neither token nor proof is added (the parameters bring their own).
        """
        session = self._session()
        sent: dict[str, Any] = {"locale": LOCALE, **encode_params(params)}
        bare: dict[str, Any] = {} if own_token else {"appsecret_proof": None}
        in_query = method == "GET"
        response: requests.Response | None = None
        content = b""
        rule, trouble = NETWORK, ""
        deadline = time.monotonic() + self._config.longest_exchange
        try:
            response = session.requests.request(
                method,
                f"{session.GRAPH}/{self._config.api_version}/{path}",
                params={**sent, **bare} if in_query else bare,
                data=None if in_query else sent,
                headers=JSON_HEADERS,
                auth=None if own_token else _anonymous,
                timeout=session.timeout,
                allow_redirects=False,
                stream=True,
            )
            content = _read(response, deadline)
        except (requests.RequestException, OSError, ValueError) as error:
            rule, trouble = describe_network_error(error, self._config.timeout)
        what = f"{method} {path or 'batch'}"
        # Raised here and not above, so that the library's exception, whose text holds the URL,
        # does not stay attached as context.
        if response is None or trouble:
            raise MetaApiError(
                rule,
                f"{trouble}; host {self._config.graph_url}",
                what=what,
                account_id=account_id,
            )
        usage = parse_usage(response.headers)
        return GraphResponse(
            self._checked(response, content, usage, what, account_id, use_case),
            response.status_code,
            usage,
        )

    def _checked(
        self,
        response: requests.Response,
        content: bytes,
        usage: Usage,
        what: str,
        account_id: str | None,
        use_case: UseCase,
    ) -> Any:
        """The document of a proper response; raises with the usage attached otherwise."""
        status = response.status_code
        retry_after = usage.retry_after_seconds(use_case, account_id)
        error: MetaApiError | None = None
        document: Any = None
        rule: ErrorRule | None = None
        note = ""
        try:
            document = parse_json(content)
        except (ValueError, RecursionError):
            rule = rule_for(None, http_status=status) if status >= 400 else BAD_RESPONSE
            rule = rule if status in {401, 429} or status >= 500 else BAD_RESPONSE
            note = f"{len(content)} bytes that are not JSON"
        if 300 <= status < 400:
            rule, note = REDIRECT, f"to {redact(response.headers.get('Location', '?'))}"
        elif rule is None:
            if isinstance(document, dict) and document.get("error"):
                error = error_from_envelope(
                    document["error"],
                    http_status=status,
                    what=what,
                    account_id=account_id,
                    retry_after_seconds=retry_after,
                )
            elif status >= 400:
                rule, note = rule_for(None, http_status=status), "an error without a body"
            elif not isinstance(document, (dict, list)):
                rule, note = BAD_RESPONSE, "neither an object nor a list"
        if rule is not None:
            error = MetaApiError(
                rule,
                note,
                http_status=status,
                what=what,
                account_id=account_id,
                retry_after_seconds=retry_after,
            )
        if error is not None:
            error.usage = usage
            error.message = redact(error.message, self.secrets)
            raise error
        return document

    def _session(self) -> FacebookSession:
        """The SDK session of this thread."""
        session = getattr(self._local, "session", None)
        if session is None:
            config = self._config
            session = FacebookSession(
                config.app_id, config.app_secret, config.access_token, timeout=config.timeout
            )
            session.GRAPH = config.graph_url
            # In place of the SDK's own bundle, which knows no company's authority.
            bundle = config.ca_bundle or _bundle_of_environment()
            if bundle:
                session.requests.verify = bundle
            # The SDK puts the token into the query string of every call.
            session.requests.params.pop("access_token")
            session.requests.auth = _Bearer(config.access_token)
            adapter = _Adapter(pool_connections=2, pool_maxsize=2, max_retries=0)
            session.requests.mount("https://", adapter)
            session.requests.mount("http://", adapter)
            self._local.session = session
        return session


def _read(response: requests.Response, deadline: float) -> bytes:
    """The whole body. A host that sends a byte now and then is not waited for without end."""
    with response:
        chunks = []
        for chunk in response.iter_content(1 << 16):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout("the response takes too long")
        return b"".join(chunks)


def _bundle_of_environment() -> str | None:
    """The CA file or folder that the environment names, by the variables that others read, too."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


class _RememberedHTTP(HTTPConnection):
    """Can be ended from another thread."""

    def connect(self) -> None:
        remember_connection(self)
        super().connect()


class _RememberedHTTPS(HTTPSConnection):
    """Can be ended from another thread."""

    def connect(self) -> None:
        remember_connection(self)
        super().connect()


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _RememberedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _RememberedHTTPS


class _Adapter(HTTPAdapter):
    """The usual adapter with connections that an interruption ends."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager


def describe_network_error(
    error: BaseException, timeout: tuple[float, float]
) -> tuple[ErrorRule, str]:
    """What went wrong on the network: its rule, and words that hold no URL."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NETWORK, f"no connection within {timeout[0]:g} s"
    if isinstance(error, requests.exceptions.Timeout):
        return NETWORK, f"no response within {timeout[1]:g} s"
    if isinstance(error, requests.exceptions.ProxyError):
        return NETWORK, "the proxy refused the connection"
    if isinstance(error, requests.exceptions.SSLError):
        found = re.search(r"certificate verify failed: ([\w\s,'.*-]+)", str(error))
        if found is not None:
            return UNTRUSTED, found[1].strip()
        return NETWORK, "the TLS handshake failed"
    text = str(error).lower()
    if "ca certificate bundle" in text or "no certificate or crl found" in text:
        return BAD_CA_BUNDLE, "no certificates where the setting points"
    for sign, words in (
        ("refused", "connection refused"),
        ("name resolution", "the host name cannot be resolved"),
        ("name or service not known", "the host name cannot be resolved"),
        ("getaddrinfo", "the host name cannot be resolved"),
        ("reset", "connection reset"),
        ("unreachable", "network unreachable"),
        ("incompleteread", "the response broke off"),
        ("aborted", "connection closed without a response"),
    ):
        if sign in text:
            return NETWORK, words
    return NETWORK, f"network failure ({type(error).__name__})"

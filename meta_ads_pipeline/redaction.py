"""Keep secrets out of everything that is written down.

Tokens and app proofs travel in query strings (``paging.next``, ``debug_token``,
``appsecret_proof``) and so end up in the messages of HTTP libraries. Every text that leaves this
package (exception messages, log records) goes through ``redact`` first.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable

REDACTED = "[redacted]"

SECRET_PARAMETERS = (
    "access_token",
    "appsecret_proof",
    "client_secret",
    "input_token",
    "fb_exchange_token",
    "app_secret",
    "code_verifier",
)

_NAMES = "|".join(SECRET_PARAMETERS)
# Meta's answers may hold texts of megabytes: a pattern starts where a word does, and what it looks
# through before the part that it needs is bounded, or a search takes the square of the length.

# name=value in a query string or form, percent-encoded or not.
_QUERY_VALUE = re.compile(rf"(?i)(?<![a-z_])({_NAMES})(=|%3D|%253D)[^&\s\"'<>)\]}},;]*")
# "name": "value" in JSON or a Python dict, quotes possibly escaped.
_JSON_VALUE = re.compile(rf"(?i)(\\?[\"'](?:{_NAMES})\\?[\"']\s*[:,]\s*\\?[\"'])[^\"'\\]*")
_BEARER = re.compile(r"(?i)\b(bearer|oauth)(\s+|%20)[A-Za-z0-9_\-.|%~+/=]{8,}")
# A link of the Graph API that carries a token or goes on with a list (`paging.next`).
_GRAPH_LINK = re.compile(
    rf"(?i)(https?://[^\s?\"'<>]{{1,500}}?/v\d+\.\d+/[^\s?\"'<>]{{0,500}})\?[^\s\"'<>]{{0,2000}}?"
    rf"(?:{_NAMES}|after|before)(?:=|%3D)[^\s\"'<>\\]*"
)
# User, page and system-user tokens begin with EAA; app tokens are "<app id>|<secret>".
_USER_TOKEN = re.compile(r"EAA[A-Za-z0-9_\-]{12,}")
_APP_TOKEN = re.compile(r"(?<!\d)\d{5,}(\||%7C)[A-Za-z0-9_\-]{16,}")

# Keys of the HTTP service; their beginning is how people name them.
_API_KEY = re.compile(r"(mak_[a-z0-9]{8})_[A-Za-z0-9_\-]{20,}")

# A database's password: in the URL (which may hold @ and / unescaped), by name, or as libpq quotes
# what it cannot decode.
_URL_PASSWORD = re.compile(
    r"(?i)((?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://[^\s/:@\"'<>]{0,500}:)"
    r"(?!\*\*\*@)[^\s\"'<>]{1,500}(?=@)"
)
_NAMED_PASSWORD = re.compile(
    r"(?i)((?:\b|_|PG)(?:ssl)?(?:password|passwd)(?:=|%3D))(?:'[^']*'|[^&\s\"'<>)\]}},;]+)"
)
_UNDECODABLE = re.compile(r"(?i)(percent-encoded (?:token|value)[^\"']{0,500})([\"'])[^\"']*\2")

_SHORTEST_SECRET = 8
_known_secrets: tuple[str, ...] = ()
_lock = threading.Lock()


def remember_secrets(*secrets: str) -> None:
    """Have ``redact`` remove these values from now on, wherever this process writes them down."""
    global _known_secrets  # noqa: PLW0603 - what is secret does not depend on who asks
    with _lock:
        new = {each for each in secrets if len(each) >= _SHORTEST_SECRET}
        # The longest first: one may be a part of another.
        _known_secrets = tuple(sorted({*_known_secrets, *new}, key=len, reverse=True))


def redact(text: object, secrets: Iterable[str] = ()) -> str:
    """The text without tokens, proofs and app secrets.

    ``secrets`` are values known to be secret; they and the remembered ones are removed wherever
    they stand, whatever they look like. The shapes that Meta's credentials have are removed in any
    case.
    """
    out = str(text)
    for secret in (*secrets, *_known_secrets):
        if len(secret) >= 4:
            out = out.replace(secret, REDACTED)
    out = _GRAPH_LINK.sub(rf"\1?{REDACTED}", out)
    out = _QUERY_VALUE.sub(rf"\1\2{REDACTED}", out)
    out = _JSON_VALUE.sub(rf"\1{REDACTED}", out)
    out = _BEARER.sub(rf"\1 {REDACTED}", out)
    out = _URL_PASSWORD.sub(rf"\1{REDACTED}", out)
    out = _NAMED_PASSWORD.sub(rf"\1{REDACTED}", out)
    out = _UNDECODABLE.sub(rf"\1{REDACTED}", out)
    out = _API_KEY.sub(rf"\1_{REDACTED}", out)
    out = _USER_TOKEN.sub(REDACTED, out)
    return _APP_TOKEN.sub(REDACTED, out)


class RedactingFilter(logging.Filter):
    """Rewrites log records so that they hold no secret; never drops one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the message and forget its arguments and traceback objects."""
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        return True


# urllib3 logs each request line, query string included, at DEBUG.
_URL_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
_FILTER = RedactingFilter()


def protect_url_loggers() -> None:
    """Put the redacting filter on the loggers that write URLs. Safe to call again."""
    for name in _URL_LOGGERS:
        logger = logging.getLogger(name)
        if _FILTER not in logger.filters:
            logger.addFilter(_FILTER)

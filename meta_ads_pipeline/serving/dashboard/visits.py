"""Who looks at the dashboard: a session in a cookie, begun with an API key; forms that are its own.

The cookie is ``HttpOnly`` and ``SameSite=Lax``, and ``Secure`` unless the page came over plain HTTP
from this machine itself. A form carries a token that only pages of the session know; that a request
comes from another site is also seen by ``Sec-Fetch-Site`` and ``Origin``.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from meta_ads_pipeline.control.api_keys import READ, SYNC
from meta_ads_pipeline.control.dashboard_sessions import (
    LONGEST,
    begin_session,
    end_session,
    form_token,
    key_of_session,
)
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.access import REFUSED, Access, Caller
from meta_ads_pipeline.serving.dashboard.view import View

HOME = "/dashboard/"
SIGN_IN = f"{HOME}sign-in"

_SECURE_COOKIE, _LOCAL_COOKIE = "__Host-meta_ads_dashboard", "meta_ads_dashboard"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

NEEDS_TLS = (
    "The dashboard is only served over HTTPS, except on this machine itself: put a proxy that "
    "speaks TLS in front of the service."
)


class SignInNeededError(Exception):
    """There is no session, or it is over."""


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is signed in."""

    request: Request
    caller: Caller
    view: View
    form_token: str

    @property
    def may_sync(self) -> bool:
        """Whether this person may start and cancel runs."""
        return SYNC in self.caller.scopes


class Visits:
    """Tells and makes sessions, on one database."""

    def __init__(self, database: Database, access: Access) -> None:
        self._database, self._access = database, access

    def visit(self, request: Request, scope: str = READ) -> Visit:
        """The visit that a request is part of.

        Raises ``SignInNeededError``, ``HTTPException`` 403 for a key without the scope and 429, and
        ``BadRequestError`` for an address that cannot be read.
        """
        token = request.cookies.get(_cookie(request), "")
        key = key_of_session(self._database, token) if token else None
        if key is None:
            raise SignInNeededError
        self._access.admit(key)
        if scope not in key.allowed:
            raise HTTPException(403, REFUSED)
        return Visit(request, Caller.of(key), View.of(request.query_params), form_token(token))

    def sign_in(self, request: Request, text: str, following: str) -> Response:
        """Begin a session with a key. Raises ``HTTPException`` as ``Access.identify`` does."""
        refuse_other_sites(request)
        refuse_open_networks(request)
        caller = self._access.identify(request, text.strip(), READ)
        token = begin_session(self._database, caller.key_id)
        response = RedirectResponse(own_path(following), status_code=303)
        response.set_cookie(
            _cookie(request),
            token,
            max_age=int(LONGEST.total_seconds()),
            path="/",
            secure=not _is_local(request),
            httponly=True,
            samesite="lax",
        )
        return response

    def sign_out(self, request: Request, given: str) -> Response:
        """End the session."""
        self.check_form(request, given)
        end_session(self._database, request.cookies.get(_cookie(request), ""))
        response = RedirectResponse(SIGN_IN, status_code=303)
        response.delete_cookie(
            _cookie(request), path="/", secure=not _is_local(request), httponly=True
        )
        return response

    @staticmethod
    def check_form(request: Request, given: str) -> None:
        """Raises ``HTTPException`` 403 where a form is not one of the session's own pages."""
        refuse_other_sites(request)
        token = request.cookies.get(_cookie(request), "")
        if not token or not hmac.compare_digest(form_token(token).encode(), given.encode()):
            raise HTTPException(403, "this form is out of date: go back, reload, and try again")


def refuse_other_sites(request: Request) -> None:
    """Raises ``HTTPException`` 403 for what another site's page has sent."""
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    is_own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if site not in ("same-origin", "none") or not is_own:
        raise HTTPException(403, "this form was sent by another site")


def refuse_open_networks(request: Request) -> None:
    """Raises ``HTTPException`` 403 where the cookie would cross a network in the open."""
    if request.url.scheme != "https" and not _is_local(request):
        raise HTTPException(403, NEEDS_TLS)


def own_path(text: str) -> str:
    """A path of the dashboard to go on to; what is not one leads to its beginning."""
    parts = urlsplit(text)
    is_own = not parts.scheme and not parts.netloc and parts.path.startswith(HOME)
    return text if is_own and "\\" not in text and text.isprintable() else HOME


def _is_local(request: Request) -> bool:
    return request.url.scheme != "https" and request.url.hostname in _LOOPBACK


def _cookie(request: Request) -> str:
    return _LOCAL_COOKIE if _is_local(request) else _SECURE_COOKIE

"""Templates, and the headers that all pages have."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from starlette.responses import HTMLResponse, Response

from meta_ads_pipeline.semantic.answer import unit_of
from meta_ads_pipeline.serving.dashboard import wording

_FOLDER = Path(__file__).parent

# Plotly sets styles of its own; scripts come from files of this service alone.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
}

_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for each in (
        wording.number, wording.plain_number, wording.percent, wording.label,
        wording.pulled_label, wording.described, wording.day, wording.short_day, wording.instant,
        wording.moment, wording.duration, wording.web_address,
    ):  # fmt: skip
        environment.filters[each.__name__] = each
    environment.globals |= {
        "static": static_url,
        "unit_of": unit_of,
        "STATUS_WORDS": wording.STATUS_WORDS,
        "STATUS_MARKS": wording.STATUS_MARKS,
    }
    return environment


def page(template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A page of a template."""
    text = _templates().get_template(template).render(context)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


@cache
def _templates() -> jinja2.Environment:
    return _environment()


@cache
def static_url(name: str) -> str:
    """The address of a file of the dashboard; it changes with the file."""
    found = _files().get(name)
    version = hashlib.sha256(found).hexdigest()[:12] if found is not None else ""
    return f"/dashboard/static/{name}?v={version}"


def static_file(name: str) -> Response:
    """A script, style or picture, compressed; 404 for what there is not."""
    if name not in _files():
        return Response("there is no such file", status_code=404, media_type="text/plain")
    return Response(
        _compressed(name),
        media_type=_MEDIA_TYPES[Path(name).suffix],
        headers={
            "Content-Encoding": "gzip",
            "Cache-Control": "public, max-age=31536000, immutable",
        },
    )


@cache
def _files() -> dict[str, bytes]:
    """Ours, and Plotly's script as its Python package brings it."""
    found = {each.name: each.read_bytes() for each in (_FOLDER / "static").iterdir()}
    plotly = files("plotly").joinpath("package_data", "plotly.min.js")
    return {**found, "plotly.js": plotly.read_bytes()}


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_files()[name], 6)

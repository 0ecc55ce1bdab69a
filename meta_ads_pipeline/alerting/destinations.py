"""Where alerts go: the addresses of ``META_ADS_ALERT_URLS``, each with a least severity."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from apprise import Apprise

from meta_ads_pipeline.alerting.errors import AlertSettingError
from meta_ads_pipeline.control.alerts import Severity

_SEPARATOR = re.compile(r"[\s,]+(?=(?:[a-z]+=)?[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_ENTRY = re.compile(r"(?:(?P<least>[a-z]+)=)?(?P<url>[a-z][a-z0-9+.-]*://\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Destination:
    """One address. ``url`` is apprise's and may hold a secret; ``label`` shows none."""

    url: str = field(repr=False)
    least: Severity
    label: str

    @property
    def key(self) -> str:
        """The same for the same address, and tells nothing of it."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


def parse_destinations(text: str) -> list[Destination]:
    """The addresses of a comma- or space-separated list, each ``[severity=]scheme://...``.

    Without a severity everything from ``warning`` up is sent. Raises ``AlertSettingError``
    naming the entry, without its secrets, that is no address apprise knows.
    """
    entries = [entry for entry in _SEPARATOR.split(text.strip().strip(",")) if entry]
    return [_destination(entry, position) for position, entry in enumerate(entries, start=1)]


def _destination(entry: str, position: int) -> Destination:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise AlertSettingError(
            f"META_ADS_ALERT_URLS, address {position}: expected [severity=]scheme://..."
        )
    least = (match["least"] or Severity.WARNING).lower()
    if least not in set(Severity):
        raise AlertSettingError(
            f"META_ADS_ALERT_URLS, address {position}: {least!r} is no severity: "
            f"expected {_named(list(Severity))}"
        )
    service = Apprise.instantiate(match["url"], suppress_exceptions=True)
    if service is None:
        scheme = match["url"].split("://")[0]
        raise AlertSettingError(
            f"META_ADS_ALERT_URLS, address {position}: not an address that apprise knows ({scheme}://...)"
        )
    label = str(service.url(privacy=True)).split("?")[0]  # type: ignore[no-untyped-call]
    return Destination(match["url"], Severity(least), label)


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}"

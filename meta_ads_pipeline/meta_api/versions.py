"""When each version of the Marketing API came, and when it ends (Meta's "Changelog" page).

A version lives for about a year. The end of the current ones is not announced yet: it is taken to
be a year after their release, and said to be an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

ABOUT_A_YEAR = timedelta(days=363)  # what the latest expired one got


@dataclass(frozen=True)
class ApiVersion:
    """``ends`` is the day from which calls fail; ``is_estimate`` until Meta has announced it."""

    name: str
    ends: date
    is_estimate: bool = False


API_VERSIONS: tuple[ApiVersion, ...] = (
    ApiVersion("v23.0", date(2026, 6, 9)),
    ApiVersion("v24.0", date(2026, 10, 6)),
    ApiVersion("v25.0", date(2026, 2, 18) + ABOUT_A_YEAR, is_estimate=True),
    ApiVersion("v26.0", date(2026, 7, 29) + ABOUT_A_YEAR, is_estimate=True),
)
LATEST = API_VERSIONS[-1]


def known_version(name: str) -> ApiVersion | None:
    """The version, or None for one that is newer or much older than this table."""
    return next((version for version in API_VERSIONS if version.name == name), None)


def version_number(name: str) -> tuple[int, ...]:
    """``v26.0`` as (26, 0), for comparisons. Raises ``ValueError`` on anything else."""
    return tuple(int(part) for part in name.removeprefix("v").split("."))

"""What a client is made from: credentials, host, bounds. Immutable, no calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from meta_ads_pipeline.attribution import chosen_windows


@dataclass(frozen=True)
class RetryPolicy:
    """Bounds of retries; times in seconds.

    ``same_failure`` attempts end in the same transient failure before a call gives up, ``attempts``
    in any; waits for a rate limit are bounded by their sum.
    """

    same_failure: int = 3
    attempts: int = 6
    first_backoff: float = 1.0
    longest_backoff: float = 60.0
    rate_limit_first: float = 5.0
    rate_limit_longest: float = 600.0
    rate_limit_total: float = 3600.0


@dataclass(frozen=True)
class PlanLimits:
    """What a plan keeps to; rows are insights rows.

    Up to ``sync_rows`` a range is read synchronously. A report covers at most ``report_rows`` rows
    and ``report_days`` days. A range of more than ``cut_from_rows`` is cut by priority. Windows are
    made small enough to use ``parallel`` readers as long as each still fills ``pages_per_window``
    pages, so that a half-empty last page costs little.
    """

    page_size: int = 1000
    sync_rows: int = 10_000
    cut_from_rows: int = 10_000
    report_rows: int = 25_000
    report_days: int = 31
    parallel: int = 6
    pages_per_window: int = 4
    polls_per_report: float = 2.0


@dataclass(frozen=True)
class ReportLimits:
    """Times in seconds. ``in_flight`` bounds windows of one request that are under way at once."""

    first_poll: float = 2.0
    longest_poll: float = 30.0
    stuck_after: float = 300.0
    report_time: float = 1800.0
    total_time: float = 3600.0
    in_flight: int = 10
    adopt_within: float = 3600.0


@dataclass(frozen=True)
class ListLimits:
    """Where a list is left that Meta does not end; ``empty_pages`` are those in a row."""

    empty_pages: int = 20
    pages: int = 20_000
    seconds: float = 7200.0


@dataclass(frozen=True)
class ClientConfig:
    """How one connection's client calls the Graph API.

    ``timeout`` is seconds to connect and seconds without a byte, ``longest_exchange`` seconds for a
    response as a whole. ``ca_bundle`` is the path of a PEM
    file that the server's certificate is verified with. ``attribution_windows`` are requested with
    a day's actions (see ``attribution``), by default none. ``max_concurrency`` is how many reports
    and pages of one client are read at once. Raises ``ValueError``, without the token, on values
    that cannot be used.
    """

    access_token: str = field(repr=False)
    app_id: str | None = None
    app_secret: str | None = field(default=None, repr=False)
    graph_url: str = "https://graph.facebook.com"
    api_version: str = "v26.0"
    timeout: tuple[float, float] = (10, 120)
    longest_exchange: float = 600.0
    ca_bundle: str | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    attribution_windows: tuple[str, ...] = ()
    plan_limits: PlanLimits = PlanLimits()
    report_limits: ReportLimits = ReportLimits()
    list_limits: ListLimits = ListLimits()
    entity_page_size: int = 500
    max_concurrency: int = 12

    def __post_init__(self) -> None:
        """Check the values and bring them into one form."""
        token = self.access_token.strip()
        if not token or not token.isascii() or any(each.isspace() for each in token):
            raise ValueError("the access token is empty or contains blanks; paste it again")
        if not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", self.graph_url):
            raise ValueError(
                f"META_GRAPH_URL must be like https://graph.facebook.com: {self.graph_url}"
            )
        if not re.fullmatch(r"v\d+\.\d+", self.api_version):
            raise ValueError(f"META_API_VERSION must be like v26.0: {self.api_version}")
        windows = chosen_windows(self.attribution_windows)
        object.__setattr__(self, "access_token", token)
        object.__setattr__(self, "app_secret", self.app_secret or None)
        object.__setattr__(self, "graph_url", self.graph_url.rstrip("/"))
        object.__setattr__(self, "attribution_windows", windows)

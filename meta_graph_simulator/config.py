"""Every setting of the simulator, with its default."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

AccessTier = Literal["development_access", "standard_access"]
DEFAULT_TOKEN = "SIMULATOR-TOKEN"  # noqa: S105 - a placeholder that opens nothing real
READ_SCOPES = ("ads_read", "ads_management", "business_management")


class TokenSpec(BaseModel):
    """An access token the simulator knows."""

    model_config = ConfigDict(extra="forbid")

    token: str
    type: Literal["USER", "SYSTEM_USER", "PAGE", "APP"] = "SYSTEM_USER"
    app_id: str | None = Field(
        default=None, description="The app it was made for; None: the configured app"
    )
    user_id: str = "100001"
    scopes: tuple[str, ...] = READ_SCOPES
    issued_at: int = Field(default=0, description="Unix seconds; 0: when the server starts")
    expires_at: int = Field(default=0, description="Unix seconds on the simulated clock; 0: never")
    data_access_expires_at: int = Field(default=0, description="Unix seconds; 0: never")
    accounts: tuple[str, ...] | None = Field(
        default=None, description="Account numbers without act_ it may read; None: all"
    )
    revoked_subcode: int | None = Field(
        default=None,
        description="Subcode of code 190 to answer with (460 password changed, 458 app removed)",
    )


class SimulatorConfig(BaseModel):
    """Settings of one simulator. Everything has a default: ``SimulatorConfig()`` works."""

    model_config = ConfigDict(extra="forbid")

    # Where it listens
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8765, description="Port to listen on; 0 takes a free one")
    tls_certificate: Path | None = Field(
        default=None, description="PEM certificate to serve https with, as a company's proxy does"
    )
    tls_key: Path | None = Field(default=None, description="PEM key of the certificate")
    log_level: Literal["critical", "error", "warning", "info"] = "warning"

    # What it serves
    seed: int = Field(default=1, description="Seed of the generated accounts and of random faults")
    accounts: int = Field(default=3, ge=0, description="How many accounts to generate")
    ads: int = Field(default=40, ge=1, description="Ads that run side by side in an account")
    from_date: date = Field(
        default=date(2025, 7, 1), description="First account-local date with delivery"
    )
    restating: bool = Field(
        default=False,
        description="Restate the last 28 days: late conversions, corrected delivery",
    )
    markets: tuple[tuple[str, str], ...] | None = Field(
        default=None, description="Currency and IANA timezone of each account; None: a mixture"
    )
    recordings: tuple[Path, ...] = Field(
        default=(), description="Folders of recorded accounts to play"
    )
    user_id: str = "100001"
    user_name: str = "Simulated System User"

    # API versions
    latest_version: str = "v26.0"
    live_versions: tuple[str, ...] = ("v25.0", "v26.0")
    auto_upgrade_expired: bool = Field(
        default=False,
        description="Serve expired versions as the oldest live one instead of error 2635",
    )

    # Credentials
    app_id: str = "123456789012345"
    app_name: str = "Simulated app"
    app_secret: str | None = Field(
        default=None,
        description="When set, appsecret_proof and client_secret are verified against it",
    )
    require_proof: bool = Field(default=False, description="Refuse calls without appsecret_proof")
    tokens: tuple[TokenSpec, ...] = Field(
        default=(),
        description=f"Known tokens; none: any token works ({DEFAULT_TOKEN} by convention)",
    )
    any_token: bool | None = Field(
        default=None, description="Accept unknown tokens; None: only while no tokens are configured"
    )

    # Clock
    start_time: datetime | None = Field(
        default=None, description="Simulated instant at start; None: now"
    )
    clock_speed: float = Field(default=1.0, ge=0, description="Simulated seconds per real second")

    # Paging
    default_limit: int = Field(default=25, ge=1, description="Rows a page without limit=")
    max_limit: int = Field(
        default=5000, ge=1, description="Larger limits are cut to this, silently"
    )
    refuse_deleted_filter: bool = Field(
        default=False, description="Answer 100 to effective_status=DELETED on edges, as documented"
    )

    # Insights
    job_seconds: float = Field(default=2.0, ge=0, description="Simulated duration of an async job")
    job_seconds_per_1000_rows: float = Field(
        default=0.0, ge=0, description="Added per 1000 result rows"
    )
    job_lifetime_days: int = 30
    quoted_report_run_id: bool = Field(
        default=True, description="False: report_run_id is a bare number"
    )
    max_sync_rows: int | None = Field(
        default=50_000,
        description='Larger sync results get "reduce the amount of data"; None: no limit',
    )
    max_job_rows: int | None = Field(
        default=None, description="Larger async jobs fail; None: no limit"
    )
    too_much_data_variant: Literal["1", "1487534"] = "1"
    hourly_hides_off_meta_actions: bool = Field(
        default=True,
        description="Meta's limit of the hourly breakdown; False shows conversions by hour",
    )
    cache_bytes: int = Field(default=256_000_000, description="Memory for encoded insights rows")

    # Rate limits
    access_tier: AccessTier = "standard_access"
    enforce_limits: bool = Field(default=False, description="Refuse calls above the tier's limits")
    app_calls_per_hour: int | None = Field(
        default=None, description="Platform limit of app-level calls; None: 200 or 200,000 by tier"
    )
    send_usage_headers: bool = True

    # Delay of every answer
    latency_ms: float = Field(default=0.0, ge=0)
    latency_jitter_ms: float = Field(
        default=0.0, ge=0, description="Up to this much more, uniformly"
    )

    # Faults to begin with, as POST /_simulator/faults takes them
    faults: tuple[dict[str, Any], ...] = ()
    call_log_size: int = Field(
        default=200_000, ge=0, description="Calls kept for GET /_simulator/calls"
    )

    @property
    def accepts_any_token(self) -> bool:
        """Whether a token that is not configured works."""
        return self.any_token if self.any_token is not None else not self.tokens

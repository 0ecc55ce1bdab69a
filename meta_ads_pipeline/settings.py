"""Every setting of the pipeline, typed, with the environment variable it comes from.

A variable set in the environment wins over the same variable in ``.env``. Names without the
``META_ADS_`` prefix are Meta's own words or fixed by the project's interface.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from meta_ads_pipeline.attribution import LIVE_WINDOWS, chosen_windows
from meta_ads_pipeline.errors import ConfigurationError
from meta_ads_pipeline.windows import KEPT_MONTHS, months_before

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where ``dbt_project/``, ``dagster.yaml`` and ``workspace.yaml`` are."""

REAL_GRAPH_URL = "https://graph.facebook.com"


ANOMALY_KINDS = ("spike", "drop", "stopped", "over_budget")


class SettingsError(ConfigurationError):
    """Settings cannot be used; ``lines`` has one line for each, with its variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        self._problems = list(problems)
        super().__init__("; ".join(problems))

    @property
    def lines(self) -> list[str]:
        """One line for each bad variable."""
        return self._problems


def _first_kept_month() -> str:
    """The first of the month in which Meta's memory of totals begins, in UTC."""
    return months_before(datetime.now(UTC).date(), KEPT_MONTHS).replace(day=1).isoformat()


class Settings(BaseSettings):
    """The project's configuration, read from the environment and from ``.env``.

    Raises ``pydantic.ValidationError`` naming the variable when a value cannot be used.
    """

    model_config = SettingsConfigDict(
        env_file=PROJECT_ROOT / ".env",
        env_file_encoding="utf-8",
        extra="ignore",
        # Not by field name: `home` would read the shell's HOME.
        populate_by_name=False,
        validate_default=False,
    )

    home: Path = Field(
        default=PROJECT_ROOT / ".meta_ads",
        alias="META_ADS_HOME",
        description="Where the embedded Postgres, Dagster's home, logs and keys are kept.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        alias="META_ADS_DATABASE_URL",
        description="Any Postgres 15+ as postgresql://...; empty: embedded under META_ADS_HOME.",
    )

    graph_url: str = Field(
        default=REAL_GRAPH_URL,
        alias="META_GRAPH_URL",
        description="The Graph API's address; a simulator's to develop against.",
    )
    api_version: str = Field(default="v26.0", alias="META_API_VERSION", pattern=r"^v\d+\.\d+$")
    ca_bundle: Path | None = Field(
        default=None,
        alias="META_CA_BUNDLE",
        description="PEM file of the authorities that Meta's certificate is verified with, as "
        "behind a company's proxy; empty: REQUESTS_CA_BUNDLE, SSL_CERT_FILE, or the SDK's own.",
    )
    app_id: str | None = Field(default=None, alias="META_APP_ID")
    app_secret: SecretStr | None = Field(default=None, alias="META_APP_SECRET")
    access_token: SecretStr | None = Field(default=None, alias="META_ACCESS_TOKEN")
    ad_account_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        alias="META_AD_ACCOUNT_IDS",
        description="Comma-separated, with or without act_; empty: every account the token reads.",
    )
    attribution_windows: Annotated[tuple[str, ...], NoDecode] = Field(
        default=LIVE_WINDOWS,
        alias="META_ADS_ATTRIBUTION_WINDOWS",
        description="Comma-separated windows that conversions of a day are counted in, beside the "
        "ad set's own attribution setting; none: no window.",
    )
    app_verify_token: SecretStr | None = Field(default=None, alias="META_APP_VERIFY_TOKEN")
    alert_urls: str | None = Field(
        default=None,
        alias="META_ADS_ALERT_URLS",
        description="Where alerts are sent: apprise addresses (slack://..., mailto://..., "
        "json://...), comma-separated, each with an optional least severity: critical=pagerduty://"
        "... Without one: warning and worse.",
    )
    alert_quiet_hours: str | None = Field(
        default=None,
        alias="META_ADS_ALERT_QUIET_HOURS",
        description="Hours in which only critical alerts are sent, such as 22-07 Europe/Berlin.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        alias="META_ADS_API_KEY",
        description="The key that `meta-ads mcp` reads with.",
    )
    requests_per_minute: int = Field(
        default=600,
        alias="META_ADS_REQUESTS_PER_MINUTE",
        ge=1,
        description="Requests that one API key may make of the HTTP service, for each process.",
    )
    alert_anomalies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("stopped", "over_budget"),
        alias="META_ADS_ALERT_ANOMALIES",
        description="Kinds of anomalies that are alerts, comma-separated: spike, drop, stopped, "
        "over_budget; none: no kind.",
    )
    alert_run_hours: float = Field(
        default=6,
        alias="META_ADS_ALERT_RUN_HOURS",
        gt=0,
        description="A run that is at work for longer is an alert.",
    )
    alert_webhook_silence_hours: float = Field(
        default=72,
        alias="META_ADS_ALERT_WEBHOOK_SILENCE_HOURS",
        gt=0,
        description="No webhook for so long, after days on which some came, is an alert.",
    )
    database_gigabytes: float | None = Field(
        default=None,
        alias="META_ADS_DATABASE_GIGABYTES",
        gt=0,
        description="How large the database may become; from 80 % on it is an alert.",
    )
    dagster_url: str = Field(
        default="http://127.0.0.1:3000",
        alias="META_ADS_DAGSTER_URL",
        description="Dagster's webserver: the HTTP service asks it to start and to cancel runs.",
    )
    webhook_sha1: bool = Field(
        default=False,
        alias="META_ADS_WEBHOOK_SHA1",
        description="Accept Meta's older X-Hub-Signature header where the SHA-256 one is absent.",
    )
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        alias="META_ADS_ENCRYPTION_KEYS",
        description="Comma-separated Fernet keys, newest first.",
    )

    sync_interval_minutes: int = Field(default=60, alias="META_SYNC_INTERVAL_MINUTES", ge=5)
    performance_sync_interval_minutes: int = Field(
        default=15,
        alias="PERFORMANCE_SYNC_INTERVAL_MINUTES",
        ge=0,
        description="Minutes between two refreshes of today; 0: without pause, near real time.",
    )
    recent_refreshes_per_day: int = Field(
        default=2,
        alias="META_ADS_RECENT_REFRESHES_PER_DAY",
        ge=1,
        le=24,
        description="How often a day the schedule reads the last 28 days again.",
    )
    new_account_days: int = Field(
        default=90,
        alias="META_ADS_NEW_ACCOUNT_DAYS",
        ge=0,
        le=1127,  # 37 months
        description="How many days before an ad account was first seen the sensor backfill_gaps "
        "pulls by itself; 0: none.",
    )
    schedules_on: bool = Field(
        default=False,
        alias="META_ADS_SCHEDULES_ON",
        description="Schedules and the retry sensor start by themselves; else in the UI.",
    )

    reach: bool = Field(
        default=True,
        alias="META_ADS_REACH",
        description="Pull reach, frequency and unique counts, at each level and period.",
    )

    max_parallel_requests: int = Field(
        default=12,
        alias="META_ADS_MAX_PARALLEL_REQUESTS",
        ge=1,
        le=64,
        description="Requests in flight at once for one app, in all processes together.",
    )
    max_parallel_requests_per_account: int = Field(
        default=6,
        alias="META_ADS_MAX_PARALLEL_REQUESTS_PER_ACCOUNT",
        ge=1,
        le=64,
        description="Of these, for one ad account.",
    )
    budget_ceiling_percent: float = Field(
        default=90.0,
        alias="META_ADS_BUDGET_CEILING_PERCENT",
        ge=10,
        le=100,
        description="How much of each of Meta's limits is used at most; calls slow down before.",
    )
    calls_per_hour: int | None = Field(
        default=None,
        alias="META_ADS_CALLS_PER_HOUR",
        ge=0,
        description="Calls that one token makes in any hour at most. Unset: 180 while the app has "
        "Meta's development tier, no such limit afterwards; 0: none in either.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        alias="META_ADS_LOG_FORMAT",
        description="json: one document a line, with the ids of run, sync, account and call.",
    )
    retention_runs_days: int = Field(
        default=14,
        alias="META_ADS_RETENTION_RUNS_DAYS",
        ge=1,
        description="Records and logs of finished runs. What partitions and checks show stays.",
    )
    retention_audit_days: int = Field(
        default=400,
        alias="META_ADS_RETENTION_AUDIT_DAYS",
        ge=35,
        description="Each load of a slice, and finished syncs.",
    )
    retention_closed_days: int = Field(
        default=90,
        alias="META_ADS_RETENTION_CLOSED_DAYS",
        ge=3,
        description="What is over: replayed dead letters, closed alerts, webhooks that were "
        "followed. Meta repeats a webhook for 36 hours.",
    )
    retention_stream_days: int = Field(
        default=7,
        alias="META_ADS_RETENTION_STREAM_DAYS",
        ge=1,
        description="Events of the HTTP service's stream: who comes back later begins anew.",
    )
    retention_check_results_days: int = Field(
        default=400,
        alias="META_ADS_RETENTION_CHECK_RESULTS_DAYS",
        ge=35,
        description="Results of checks that passed, from when they were last looked at.",
    )
    retention_entity_versions_days: int | None = Field(
        default=None,
        alias="META_ADS_RETENTION_ENTITY_VERSIONS_DAYS",
        ge=35,
        description="Earlier versions of campaigns, ad sets, ads and creatives. Unset: always.",
    )
    archive_after_months: int | None = Field(
        default=None,
        alias="META_ADS_ARCHIVE_AFTER_MONTHS",
        ge=14,  # Meta keeps hours for 13: what is archived is never pulled again
        description="Months of hours that ended so long ago move to Parquet files under "
        "META_ADS_HOME/archive; days stay. Unset: none.",
    )
    retention_log_megabytes: int = Field(
        default=50,
        alias="META_ADS_RETENTION_LOG_MEGABYTES",
        ge=1,
        description="A log file under META_ADS_HOME that grows longer is cut to half of this.",
    )
    history_start: str = Field(
        default_factory=_first_kept_month,
        alias="META_ADS_HISTORY_START",
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="First daily partition. Unset: the month in which what Meta keeps begins.",
    )

    @model_validator(mode="before")
    @classmethod
    def _blank_is_default(cls, values: dict[str, object]) -> dict[str, object]:
        return {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and not value.strip())
        }

    @field_validator("ad_account_ids", mode="before")
    @classmethod
    def _split_accounts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        ids = tuple(part.strip().removeprefix("act_") for part in value.split(",") if part.strip())
        for account_id in ids:
            if not account_id.isdigit():
                raise ValueError(f"{account_id!r} is not an ad account id: expected digits")
        return ids

    @field_validator("attribution_windows", mode="before")
    @classmethod
    def _split_windows(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.strip().lower() == "none":
            return ()
        return chosen_windows(part.strip() for part in value.split(",") if part.strip())

    @field_validator("alert_anomalies", mode="before")
    @classmethod
    def _split_anomalies(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        kinds = tuple(part.strip().lower() for part in value.split(",") if part.strip())
        if kinds == ("none",):
            return ()
        for kind in kinds:
            if kind not in ANOMALY_KINDS:
                raise ValueError(f"{kind!r} is none of {', '.join(ANOMALY_KINDS)}, or none")
        return kinds

    @field_validator("encryption_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(SecretStr(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("graph_url", "dagster_url")
    @classmethod
    def _graph_url_is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("expected an http:// or https:// address")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _absolute_home(self) -> Self:
        # Relative to the checkout, as .env is: one place, wherever a command is started.
        self.home = (PROJECT_ROOT / self.home.expanduser()).absolute()
        return self

    @property
    def expected_lag_minutes(self) -> int:
        """An account-local hour should be in the marts so many minutes after it ends.

        One refresh of today may have just missed it, and its pull and build take their time.
        """
        return self.performance_sync_interval_minutes + 75

    @property
    def is_near_real_time(self) -> bool:
        """Whether today is refreshed without pause."""
        return self.performance_sync_interval_minutes == 0

    @property
    def uses_simulator(self) -> bool:
        """Without credentials and without another Graph URL, the simulator stands in for Meta."""
        return self.access_token is None and self.graph_url == REAL_GRAPH_URL


_PREFIXES = ("META_ADS_", "META_", "PERFORMANCE_SYNC_")
_SET_BY_US = re.compile(r"META_ADS_(DBT_\w+|DAGSTER_STORAGE_URL|TEST_DATABASE_URL)")


def unknown_variables(environment: Mapping[str, str | None] = os.environ) -> list[str]:
    """What is set under our prefixes and read by nothing, each as a sentence for people.

    In ``.env`` every such name; in the environment, which other programs share, ``META_ADS_*`` and
    what looks like one of ours.
    """
    known = [str(field.alias) for field in Settings.model_fields.values()]
    file = Settings.model_config.get("env_file")
    in_file = dotenv_values(file) if isinstance(file, str | Path) and Path(file).exists() else {}
    found: dict[str, str] = {}
    for place, names in ((".env", in_file), ("the environment", environment)):
        for name in names:
            similar = get_close_matches(name.upper(), known, 1, 0.8)
            ours = name.upper().startswith(_PREFIXES if place == ".env" else _PREFIXES[:1])
            if place != ".env" and not name.upper().startswith(("META", "PERFORMANCE")):
                continue  # AWS_CA_BUNDLE is another program's
            if name.upper() in known or not (similar or ours) or _SET_BY_US.fullmatch(name):
                continue
            guess = f": did you mean {similar[0]}?" if similar else ""
            found.setdefault(name, f"{name} in {place} is no setting{guess}")
    return list(found.values())


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once. Raises ``SettingsError`` naming each bad variable."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']} (environment or .env)"
            for each in error.errors()
        ]
    raise SettingsError(problems)  # outside, so that pydantic's error with the values is not kept

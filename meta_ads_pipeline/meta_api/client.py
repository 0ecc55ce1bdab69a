"""The Graph API as the rest of the pipeline sees it: accounts, entities, insights, tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Self

from meta_ads_pipeline.meta_api.async_jobs import InsightsRun
from meta_ads_pipeline.meta_api.calls import Caller, CallRecord, RetryPolicy, Slots, Tally
from meta_ads_pipeline.meta_api.entities import EntityReader
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import DroppedFields, Grain, Kind, Level
from meta_ads_pipeline.meta_api.governor import Governor, UsageGovernor
from meta_ads_pipeline.meta_api.insights import InsightsPart, InsightsReader
from meta_ads_pipeline.meta_api.job_memory import JobLimits, JobPace, JobStore, MemoryJobStore
from meta_ads_pipeline.meta_api.paging import PageSizes, Row
from meta_ads_pipeline.meta_api.planner import InsightsPlanner, Plan, PlanLimits
from meta_ads_pipeline.meta_api.session import GraphTransport
from meta_ads_pipeline.meta_api.tokens import NewToken, TokenInfo, TokenService


@dataclass(frozen=True)
class AccountRef:
    """What a pull must know of an account: its id without `act_`, IANA timezone and currency."""

    account_id: str
    timezone: str
    currency: str


@dataclass(frozen=True)
class InsightsResult:
    """The whole answer for a range of account-local days.

    Rows are as in the JSON: metrics are strings, bare numbers int or Decimal. `calls` is what the
    pull cost and `expected_calls` what the plan said. `pulled_at` (UTC) is when the oldest part was
    asked. `dropped_fields` maps fields that Meta refused to its reason.
    """

    rows: list[Row] = field(repr=False)
    calls: int
    expected_calls: int
    api_version: str
    pulled_at: datetime
    parts: int
    modes: frozenset[str]
    dropped_fields: dict[str, str]


class MetaAdsClient:
    """One per connection; thread-safe. Close it (or use `with`) to end its reader threads.

    Every method raises MetaApiError. Every HTTP call, retries included, is told to `on_call` from
    the thread that made it. `governor` decides when calls may go; `slots` bound how many are in
    flight together with other clients; `job_store` lets reports survive a restart.
    """

    def __init__(
        self,
        *,
        access_token: str,
        app_id: str | None = None,
        app_secret: str | None = None,
        graph_url: str = "https://graph.facebook.com",
        api_version: str = "v26.0",
        timeout: tuple[float, float] = (10, 120),
        ca_bundle: str | None = None,
        governor: Governor | None = None,
        on_call: Callable[[CallRecord], None] | None = None,
        job_store: JobStore | None = None,
        retry_policy: RetryPolicy | None = None,
        plan_limits: PlanLimits | None = None,
        job_limits: JobLimits | None = None,
        entity_page_size: int = 500,
        max_concurrency: int = 12,
        max_concurrency_per_account: int = 6,
        slots: Slots | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Check the settings; raises ValueError, without the token, on unusable ones."""
        self.api_version = api_version
        self._transport = GraphTransport(
            access_token=access_token,
            app_id=app_id,
            app_secret=app_secret,
            graph_url=graph_url,
            api_version=api_version,
            timeout=timeout,
            ca_bundle=ca_bundle,
        )
        caller = Caller(
            self._transport,
            governor or UsageGovernor(clock=clock, sleep=sleep),
            slots or Slots(max_concurrency, max_concurrency_per_account),
            policy=retry_policy or RetryPolicy(),
            on_call=on_call,
            sleep=sleep,
        )
        limits = plan_limits or PlanLimits()
        sizes = PageSizes()
        self._dropped = DroppedFields()
        self._planner = InsightsPlanner(limits)
        self._entities = EntityReader(caller, sizes, self._dropped, entity_page_size)
        self._insights = InsightsReader(
            caller, sizes, self._dropped, self._planner, limits.page_size
        )
        self._tokens = TokenService(caller)
        self._jobs = job_store or MemoryJobStore()
        self._pace = JobPace()
        self._job_limits = job_limits or JobLimits()
        self._clock, self._sleep = clock, sleep
        self._executor = ThreadPoolExecutor(max_concurrency, thread_name_prefix="meta-api")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the reader threads; calls under way end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def dropped_fields(self) -> dict[str, dict[str, str]]:
        """Fields left out because Meta refused them: kind of request -> field -> reason."""
        return self._dropped.snapshot()

    def get_accounts(self) -> list[Row]:
        """Every ad account the token reads, as raw documents."""
        return self._entities.accounts()

    def get_account(self, account_id: str) -> Row:
        """One ad account's raw document."""
        return self._entities.account(plain_account_id(account_id))

    def get_campaigns(self, account_id: str, *, include_deleted: bool = False) -> list[Row]:
        """All campaigns, archived ones included."""
        return self._list(account_id, "campaign", include_deleted)

    def get_adsets(self, account_id: str, *, include_deleted: bool = False) -> list[Row]:
        """All ad sets, archived ones included."""
        return self._list(account_id, "adset", include_deleted)

    def get_ads(self, account_id: str, *, include_deleted: bool = False) -> list[Row]:
        """All ads, archived ones included."""
        return self._list(account_id, "ad", include_deleted)

    def get_creatives(self, account_id: str) -> list[Row]:
        """All creatives; Meta pages through 50,000 at most."""
        return self._list(account_id, "creative", False)

    def get_objects(
        self, ids: Iterable[str], kind: Kind, *, account_id: str | None = None
    ) -> tuple[list[Row], dict[str, MetaApiError]]:
        """Objects by id, deleted ones included, and an error for each that cannot be read.

        Give `account_id` where it is known: then a hundred ids cost one call, else one call each.
        """
        plain = None if account_id is None else plain_account_id(account_id)
        return self._entities.by_id(ids, kind, account_id=plain)

    def get_insights(
        self,
        account: AccountRef,
        start: date,
        end: date,
        *,
        level: Level,
        grain: Grain,
        rows_per_day: float | None = None,
    ) -> InsightsResult:
        """All rows from `start` to `end`, both included, account-local days.

        `rows_per_day` is an estimate from an earlier load; without one the last pull decides.
        """
        dates = (start, end)
        plan = self.plan_insights(
            account, *dates, level=level, grain=grain, rows_per_day=rows_per_day
        )
        tally = Tally()
        parts = list(self._run(account, plan, level, grain, tally, fail_fast=True))
        key = f"insights/{level}/{grain}"
        return InsightsResult(
            rows=[row for part in parts for row in part.rows],
            calls=tally.calls,
            expected_calls=plan.expected_calls,
            api_version=self.api_version,
            pulled_at=min((part.pulled_at for part in parts), default=datetime.now(UTC)),
            parts=len(parts),
            modes=frozenset(part.mode for part in parts),
            dropped_fields=self._dropped.snapshot(key).get(key, {}),
        )

    def iter_insights(
        self,
        account: AccountRef,
        start: date,
        end: date,
        *,
        level: Level,
        grain: Grain,
        rows_per_day: float | None = None,
        tally: Tally | None = None,
    ) -> Iterator[InsightsPart]:
        """The same, part by part as each is done, mostly newest first.

        A part is complete for the days of its query, unless the query is narrowed to some objects
        (`only_ids`), which happens only where a single day is too much for Meta; then the parts of
        that day belong together. When a part fails for a moment's reasons the others still come,
        and the error is raised at the end.
        """
        plan = self.plan_insights(
            account, start, end, level=level, grain=grain, rows_per_day=rows_per_day
        )
        return self._run(account, plan, level, grain, tally or Tally(), fail_fast=False)

    def plan_insights(
        self,
        account: AccountRef,
        start: date,
        end: date,
        *,
        level: Level,
        grain: Grain,
        rows_per_day: float | None = None,
    ) -> Plan:
        """Windows and expected cost of a range, without a call; ValueError if it ends too early."""
        account_id = plain_account_id(account.account_id)
        return self._planner.plan(account_id, level, grain, start, end, rows_per_day)

    def inspect_token(self, token: str | None = None) -> TokenInfo:
        """What Meta says about a token, by default the client's own."""
        return self._tokens.inspect(token)

    def granted_scopes(self) -> tuple[str, ...]:
        """The permissions granted to the client's token; needs no app credentials."""
        return self._tokens.granted_scopes()

    def exchange_token(self, token: str | None = None, *, sixty_days: bool = False) -> NewToken:
        """A long-lived token in exchange; see TokenService.exchange."""
        return self._tokens.exchange(token, sixty_days=sixty_days)

    def _list(self, account_id: str, kind: Kind, include_deleted: bool) -> list[Row]:
        return self._entities.listing(
            plain_account_id(account_id), kind, include_deleted=include_deleted
        )

    def _run(
        self,
        account: AccountRef,
        plan: Plan,
        level: Level,
        grain: Grain,
        tally: Tally,
        *,
        fail_fast: bool,
    ) -> Iterator[InsightsPart]:
        run = InsightsRun(
            self._insights,
            self._executor,
            self._job_limits,
            self._jobs,
            self._pace,
            tally,
            fail_fast,
            self._clock,
            self._sleep,
        )
        return run.parts(plain_account_id(account.account_id), level, grain, plan.windows)


def plain_account_id(account_id: str) -> str:
    """The id without `act_`; ValueError when it is not a number."""
    plain = account_id.removeprefix("act_")
    if not re.fullmatch(r"\d+", plain):
        raise ValueError(f"an ad account id is a number, with or without act_: {account_id!r}")
    return plain

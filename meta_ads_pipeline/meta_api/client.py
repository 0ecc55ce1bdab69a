"""The Graph API as the rest of the pipeline sees it: accounts, entities, insights, tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self

from meta_ads_pipeline.insights_tables import Grain, Level, Period
from meta_ads_pipeline.meta_api.async_reports import InsightsRun
from meta_ads_pipeline.meta_api.calls import CallCounter, Caller, CallRecord
from meta_ads_pipeline.meta_api.config import ClientConfig
from meta_ads_pipeline.meta_api.entities import EntityReader, KnownRefusals
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import (
    REACH_FIELDS,
    UNIQUE_FIELDS,
    DroppedFields,
    Kind,
)
from meta_ads_pipeline.meta_api.insights import InsightsReader
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.meta_api.paging import Listing, PageSizes, Row
from meta_ads_pipeline.meta_api.rate_limiter import RateLimiter
from meta_ads_pipeline.meta_api.report_memory import ReportPace, ReportStore
from meta_ads_pipeline.meta_api.request_planner import InsightsRequestPlanner, Plan
from meta_ads_pipeline.meta_api.session import GraphTransport
from meta_ads_pipeline.meta_api.subscriptions import AD_ACCOUNT_FIELDS, SubscriptionService
from meta_ads_pipeline.meta_api.tokens import NewToken, TokenInfo, TokenService
from meta_ads_pipeline.meta_api.waiting import pause
from meta_ads_pipeline.windows import local_today


@dataclass(frozen=True)
class AccountRef:
    """What a pull must know of an account: its id without ``act_``, IANA timezone and currency."""

    account_id: str
    timezone: str
    currency: str


class MetaAdsClient:
    """One per connection; thread-safe. Close it (or use ``with``) to end its reader threads.

    Every method raises ``MetaApiError``. ``rate_limiter`` decides when calls may go; without one,
    as before there is a database, a refused call waits as Meta says. ``report_store`` lets reports
    survive a restart. Every HTTP call, retries included, is told to ``on_call`` from the thread
    that made it. ``clock`` gives seconds.
    """

    def __init__(
        self,
        config: ClientConfig | None = None,
        *,
        rate_limiter: RateLimiter | None = None,
        report_store: ReportStore | None = None,
        on_call: Callable[[CallRecord], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = pause,
        **options: Any,
    ) -> None:
        """``options`` are fields of ``ClientConfig``, in place of or over those of ``config``.

        Raises ``ValueError``, without the token, on values that cannot be used.
        """
        self._config = ClientConfig(**options) if config is None else replace(config, **options)
        caller = Caller(
            GraphTransport(self._config),
            rate_limiter,
            policy=self._config.retry_policy,
            on_call=on_call,
            sleep=sleep,
        )
        limits = self._config.plan_limits
        sizes = PageSizes()
        self._dropped = DroppedFields()
        self._planner = InsightsRequestPlanner(limits)
        self._entities = EntityReader(
            caller, sizes, self._dropped, self._config.entity_page_size, self._config.list_limits
        )
        self._insights = InsightsReader(
            caller,
            sizes,
            self._dropped,
            self._planner,
            limits.page_size,
            self._config.attribution_windows,
            self._config.list_limits,
        )
        self._tokens = TokenService(caller, self._config)
        self._subscriptions = SubscriptionService(caller, self._config)
        self._reports = report_store
        self._pace = ReportPace()
        self._clock, self._sleep = clock, sleep
        self._executor = ThreadPoolExecutor(
            self._config.max_concurrency, thread_name_prefix="meta-api"
        )

    @property
    def api_version(self) -> str:
        """The version of the Marketing API that is asked."""
        return self._config.api_version

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

    def get_accounts(self) -> Listing:
        """Every ad account the token reads, as raw documents."""
        return self._entities.accounts()

    def get_account(self, account_id: str) -> Row:
        """One ad account's raw document."""
        return self._entities.account(plain_account_id(account_id))

    def get_campaigns(
        self,
        account_id: str,
        *,
        counter: CallCounter | None = None,
    ) -> Listing:
        """All campaigns, archived ones included."""
        return self._list(account_id, "campaign", counter)

    def get_adsets(
        self,
        account_id: str,
        *,
        counter: CallCounter | None = None,
    ) -> Listing:
        """All ad sets, archived ones included."""
        return self._list(account_id, "adset", counter)

    def get_ads(
        self,
        account_id: str,
        *,
        counter: CallCounter | None = None,
    ) -> Listing:
        """All ads, archived ones included."""
        return self._list(account_id, "ad", counter)

    def get_creatives(
        self,
        account_id: str,
        *,
        known: KnownRefusals | None = None,
        counter: CallCounter | None = None,
    ) -> Listing:
        """All creatives; Meta pages through 50,000 at most. ``known``: see ``KnownRefusals``."""
        return self._entities.listing(
            plain_account_id(account_id), "creative", known=known, counter=counter
        )

    def get_custom_conversions(
        self, account_id: str, *, counter: CallCounter | None = None
    ) -> Listing:
        """All custom conversions: names and rules of ``offsite_conversion.custom.<id>``."""
        return self._entities.custom_conversions(plain_account_id(account_id), counter)

    def get_objects(
        self,
        ids: Iterable[str],
        kind: Kind,
        *,
        account_id: str | None = None,
        counter: CallCounter | None = None,
    ) -> tuple[Listing, dict[str, MetaApiError]]:
        """Objects by id, deleted ones included, and an error for each that cannot be read.

        Give ``account_id`` where it is known: then a hundred ids cost one call, else one call each.
        """
        plain = None if account_id is None else plain_account_id(account_id)
        return self._entities.by_id(ids, kind, account_id=plain, counter=counter)

    def iter_insights(
        self,
        account: AccountRef,
        start: date,
        end: date,
        *,
        level: Level,
        grain: Grain,
        rows_per_day: float | None = None,
        counter: CallCounter | None = None,
    ) -> Iterator[InsightsPart]:
        """All rows from ``start`` to ``end``, both included, account-local days, part by part.

        Parts come as each is done, mostly newest first. ``rows_per_day`` is an estimate from an
        earlier load; without one the last pull decides.

        A part is complete for the days of its query, unless the query is narrowed to some objects
        (``only_ids``), which happens only where a single day is too much for Meta; then the parts
        of that day belong together. Days that fail do not cost the others: those still come, and
        the error raised at the end names the days (``MetaApiError.dates``, ``also``); of a failed
        day some objects' parts may have come. An error without days ended the read: no call more
        would have succeeded.
        """
        plan = self.plan_insights(
            account, start, end, level=level, grain=grain, rows_per_day=rows_per_day
        )
        run = InsightsRun(
            self._insights,
            self._executor,
            self._config.report_limits,
            self._reports,
            self._pace,
            counter or CallCounter(),
            self._clock,
            self._sleep,
            today=local_today(account.timezone, datetime.now(UTC)),
        )
        return run.parts(plain_account_id(account.account_id), level, grain, plan.windows)

    def get_reach(
        self,
        account: AccountRef,
        start: date,
        end: date,
        *,
        level: Level,
        period: Period,
        unique_counts: bool = True,
        counter: CallCounter | None = None,
    ) -> list[InsightsPart]:
        """Reach and frequency of each period from ``start`` to ``end``, both included.

        Periods of several days follow each other from ``start`` on. Rows are as in the JSON. Always
        synchronous: there is a row for an object and period, not for an ad and hour. Without
        ``unique_counts`` unique clicks are left out: Meta keeps them for 13 months only.
        """
        measures = REACH_FIELDS + (UNIQUE_FIELDS if unique_counts else ())
        account_id = plain_account_id(account.account_id)
        query = InsightsQuery(account_id, level, period, start, end, measures=measures)
        return self._insights.read(query, counter)

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
        today = local_today(account.timezone, datetime.now(UTC))
        return self._planner.plan(account_id, level, grain, start, end, rows_per_day, today)

    def inspect_token(self, token: str | None = None) -> TokenInfo:
        """What Meta says about a token, by default the client's own."""
        return self._tokens.inspect(token)

    def granted_scopes(self) -> tuple[str, ...]:
        """The permissions granted to the client's token; needs no app credentials."""
        return self._tokens.granted_scopes()

    def exchange_token(self, token: str | None = None, *, sixty_days: bool = False) -> NewToken:
        """A long-lived token in exchange; see TokenService.exchange."""
        return self._tokens.exchange(token, sixty_days=sixty_days)

    def subscribe_app(
        self, callback_url: str, verify_token: str, fields: Sequence[str] = AD_ACCOUNT_FIELDS
    ) -> None:
        """Name the app's receiver of webhooks; see SubscriptionService.subscribe_app."""
        self._subscriptions.subscribe_app(callback_url, verify_token, fields)

    def subscribe_account(self, account_id: str) -> None:
        """Have the app hear of this ad account's webhooks; needs ``ads_management``."""
        self._subscriptions.subscribe_account(plain_account_id(account_id))

    def _list(self, account_id: str, kind: Kind, counter: CallCounter | None) -> Listing:
        return self._entities.listing(
            plain_account_id(account_id),
            kind,
            counter=counter,
        )


def plain_account_id(account_id: str) -> str:
    """The id without ``act_``; ValueError when it is not a number."""
    plain = account_id.removeprefix("act_")
    if not re.fullmatch(r"\d+", plain):
        raise ValueError(f"an ad account id is a number, with or without act_: {account_id!r}")
    return plain

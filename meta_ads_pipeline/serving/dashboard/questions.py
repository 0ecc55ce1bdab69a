"""What pages have in common: the accounts and currencies there are, and questions about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.row_security import in_workspace
from meta_ads_pipeline.semantic import trust
from meta_ads_pipeline.semantic.answer import Answer, ask
from meta_ads_pipeline.semantic.query import ACCOUNT_TIMEZONE, MetricQuery
from meta_ads_pipeline.serving.dashboard.view import View
from meta_ads_pipeline.serving.dashboard.visits import Visit
from meta_ads_pipeline.serving.problems import BadRequestError, sentences

DEFAULT_DAYS = 14

_COMMON_TIMEZONES = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York",
                     "America/Los_Angeles", "Asia/Kolkata", "Asia/Singapore")  # fmt: skip


@dataclass(frozen=True)
class Account:
    """An ad account to choose."""

    account_id: str
    name: str
    currency: str
    timezone: str


@dataclass(frozen=True)
class Scope:
    """What a page is about: dates, accounts, one currency; and how to ask for numbers of it.

    Money of several currencies is never added, so a page shows one of them at a time. ``now`` is
    the present instant, ``today`` the date there in the reader's timezone.
    """

    database: Database
    workspace_id: str
    view: View
    accounts: tuple[Account, ...]
    currencies: tuple[str, ...]
    currency: str
    start: date
    end: date
    today: date
    now: datetime

    @property
    def chosen(self) -> tuple[Account, ...]:
        """The accounts whose numbers are shown."""
        wanted = self.view.account
        return tuple(
            each
            for each in self.accounts
            if each.currency == self.currency and wanted in (None, each.account_id)
        )

    @property
    def timezones(self) -> tuple[str, ...]:
        """Timezones to suggest."""
        own = [each.timezone for each in self.accounts]
        return tuple(dict.fromkeys([ACCOUNT_TIMEZONE, *own, *_COMMON_TIMEZONES]))

    def ask(self, *, extra: dict[str, tuple[str, ...]] | None = None, **asked: Any) -> Answer:
        """Ask the query layer; dates, timezone and filters are the scope's unless given.

        Raises ``BadRequestError`` naming what cannot be asked.
        """
        filters: dict[str, tuple[str, ...]] = {"currency": (self.currency,)}
        for name in ("account", "campaign", "adset"):
            value = getattr(self.view, name)
            if value is not None:
                filters[name] = (value,)
        given = {
            "start": self.start,
            "end": self.end,
            "timezone": self.view.timezone,
            "filters": {**filters, **(extra or {})},
            **asked,
        }
        try:
            return ask(self.database, self.workspace_id, MetricQuery(**given))
        except ValidationError as error:
            raise BadRequestError(sentences(error.errors())) from error

    def days_of_trust(
        self, start: date, end: date, measure: str | None = None
    ) -> list[dict[str, Any]]:
        """The three totals of the chosen accounts' days, all pages of them."""
        rows: list[dict[str, Any]] = []
        chosen = {each.account_id for each in self.chosen}
        while True:
            page = trust.reconciliation(
                self.database,
                self.workspace_id,
                start=start,
                end=end,
                account=self.view.account,
                measure=measure,
                limit=trust.MOST_ROWS,
                offset=len(rows),
            )
            rows += page
            if len(page) < trust.MOST_ROWS:
                return [row for row in rows if row["account_id"] in chosen]

    def local(self, instant: datetime, account_timezone: str) -> datetime:
        """The wall clock at an instant, as the reader has it, or else the account."""
        own = self.view.timezone == ACCOUNT_TIMEZONE
        zone = ZoneInfo(account_timezone if own else self.view.timezone)
        return instant.astimezone(zone).replace(tzinfo=None)


def scope(database: Database, visit: Visit) -> Scope | None:
    """The scope of a page; None: the workspace has no ad account yet.

    Raises ``BadRequestError`` for an account or currency that the workspace does not have.
    """
    view, workspace = visit.view, visit.caller.workspace_id

    def known(connection: Connection) -> tuple[list[Account], datetime]:
        rows = connection.execute(
            "select account_id, coalesce(name, 'act_' || account_id) as name, currency, timezone"
            " from control.ad_accounts where workspace_id = %s order by name, account_id",
            [workspace],
        ).fetchall()
        now = connection.execute("select control.current_instant() as now").fetchone()
        assert now is not None
        return [Account(**row) for row in rows], now["now"]

    accounts, now = in_workspace(database, workspace, known)
    if not accounts:
        return None
    counts = [each.currency for each in accounts]
    currencies = tuple(sorted(set(counts), key=lambda each: (-counts.count(each), each)))
    of_account = {each.account_id: each.currency for each in accounts}
    if view.account is not None and view.account not in of_account:
        raise BadRequestError("account: the workspace has no such ad account")
    currency = (
        of_account[view.account] if view.account is not None else view.currency or currencies[0]
    )
    if currency not in currencies:
        raise BadRequestError(f"currency: expected one of {', '.join(currencies)}")
    zones = (
        [each.timezone for each in accounts if view.account in (None, each.account_id)]
        if view.timezone == ACCOUNT_TIMEZONE
        else [view.timezone]
    )
    today = max(now.astimezone(ZoneInfo(zone)).date() for zone in zones)
    end = view.end or today
    return Scope(
        database=database,
        workspace_id=workspace,
        view=view,
        accounts=tuple(accounts),
        currencies=currencies,
        currency=currency,
        start=view.start or end - timedelta(days=DEFAULT_DAYS - 1),
        end=end,
        today=today,
        now=now,
    )

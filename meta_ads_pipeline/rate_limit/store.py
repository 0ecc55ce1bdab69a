"""The call budget that all processes share: what is used of each limit, what is blocked, counts.

Instants are Unix seconds of the caller's clock, so that a test can move them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from meta_ads_pipeline.control.database import Connection as Session
from meta_ads_pipeline.control.database import Database, is_lost
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

Result = TypeVar("Result")

HOUR = 3600.0


@dataclass(frozen=True, order=True)
class BudgetKey:
    """One limit. ``account_id`` empty: the app's; ``use_case`` empty: of every call."""

    app: str
    account_id: str = ""
    use_case: str = ""

    @property
    def subject(self) -> str:
        """What alerts about it are filed under."""
        app = self.app if self.app.startswith("connection ") else f"app {self.app}"
        whose = f"ad account act_{self.account_id}" if self.account_id else app
        return f"{whose} ({self.use_case})" if self.use_case else whose


@dataclass
class Budget:
    """What is known of one limit; see ``control.call_budgets``. Percent as of ``read_at``."""

    percent: float | None = None
    span_seconds: float = HOUR
    read_at: float = 0.0
    tier: str | None = None
    blocked_until: float | None = None
    refused_at: float | None = None
    times_blocked: int = 0
    retry_after_seconds: float | None = None
    is_warned: bool = False

    def percent_at(self, now: float) -> float:
        """The percentage, faded as far as the limit has freed itself since it was read."""
        if self.percent is None or self.span_seconds <= 0:
            return 0.0
        return self.percent * max(0.0, 1 - max(0.0, now - self.read_at) / self.span_seconds)


@dataclass(frozen=True)
class CallCount:
    """Calls of one connection within one minute (``minute`` is its beginning)."""

    minute: float
    account_id: str
    use_case: str
    calls: int
    wasted: int


@dataclass(frozen=True)
class Taken:
    """The response to a request for calls under an hourly cap. ``wait`` 0: they are granted."""

    wait: float
    used: int


class CallBudgetStore:
    """Reads and writes the budget over one database session, opened anew when it breaks.

    Thread-safe. Every method raises ``DatabaseError`` when the database is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = ExitStack()
        self._current: Session | None = None
        self._closing = False
        self._lock = threading.Lock()

    @contextmanager
    def closing(self) -> Iterator[None]:
        """End the session after the block; a lost connection is not waited for."""
        self._closing = True
        try:
            yield
        finally:
            self._closing = False
            with self._lock:
                self._open.close()

    def read(self, app: str, account_ids: Iterable[str]) -> dict[BudgetKey, Budget]:
        """The limits of the app itself and of these accounts."""
        rows = self.run(
            lambda session: session.execute(
                sql("read_budgets"),
                {"app": app, "accounts": ["", *account_ids]},
            ).fetchall()
        )
        return {
            BudgetKey(row["app"], row["account_id"], row["use_case"]): Budget(
                percent=row["percent"],
                span_seconds=row["span_seconds"] or HOUR,
                read_at=row["read_at"] or 0.0,
                tier=row["tier"],
                blocked_until=row["blocked_until"],
                refused_at=row["refused_at"],
                times_blocked=row["times_blocked"],
                retry_after_seconds=row["regain_seconds"],
                is_warned=row["is_warned"],
            )
            for row in rows
        }

    def write(
        self,
        readings: Mapping[BudgetKey, Budget],
        connection_id: str,
        counts: Sequence[CallCount],
    ) -> None:
        """Write readings that are newer than what is stored, and add the counts."""
        rows = [
            {
                **vars(key),
                "percent": budget.percent,
                "span": budget.span_seconds,
                "read_at": budget.read_at,
                "tier": budget.tier,
                "warned": budget.is_warned,
            }
            # In order: two processes that write the same rows never wait in a circle.
            for key, budget in sorted(readings.items(), key=lambda item: item[0])
        ]

        def write(session: Session) -> None:
            with session.transaction(), session.cursor() as cursor:
                if rows:
                    cursor.executemany(
                        sql("write_budget"),
                        rows,
                    )
                for count in sorted(counts, key=lambda c: (c.minute, c.account_id, c.use_case)):
                    _add_count(cursor, connection_id, count)

        self.run(write)

    def block(
        self,
        key: BudgetKey,
        *,
        code: int | None,
        now: float,
        until: float,
        retry_after: float,
        is_new: bool,
    ) -> None:
        """Note that calls under this limit are refused until then, and end a probe of it.

        ``is_new`` is false for a call that had been under way before the refusal was known.
        """
        self.run(
            lambda session: session.execute(
                sql("block_budget"),
                {
                    **vars(key),
                    "now": now,
                    "until": until,
                    "code": code,
                    "retry_after": retry_after,
                    "new": int(is_new),
                },
            )
        )

    def unblock(self, keys: Iterable[BudgetKey]) -> None:
        """A call got through: these limits block no longer."""
        self._each(
            keys,
            "update control.call_budgets set blocked_since = null, blocked_until = null,"
            " refused_at = null, block_code = null, times_blocked = 0, probe_until = null,"
            " updated_at = now()",
        )

    def release_probe(self, keys: Iterable[BudgetKey], until: float) -> None:
        """The probing call said nothing about the block: it stands, at least until then."""
        self._each(
            keys,
            "update control.call_budgets set probe_until = null, updated_at = now(),"
            " blocked_until = greatest(blocked_until, to_timestamp(%(until)s))",
            until=until,
        )

    def claim_probe(self, keys: Iterable[BudgetKey], now: float, lease: float) -> bool:
        """Take the right to the one call that tries whether these blocks are over; all or none.

        It ends with ``block``, ``unblock``, ``release_probe``, or the lease (seconds): its holder
        may be killed.
        """
        ordered = sorted(keys)

        def claim(session: Session) -> bool:
            claimed = True
            with session.transaction() as transaction:
                for key in ordered:
                    cursor = session.execute(
                        "update control.call_budgets set probe_until = to_timestamp(%(until)s),"
                        " last_probe_at = to_timestamp(%(now)s), updated_at = now()"
                        f" {_WHERE} and blocked_until <= to_timestamp(%(now)s)"
                        " and (probe_until is null or probe_until <= to_timestamp(%(now)s))",
                        {**vars(key), "now": now, "until": now + lease},
                    )
                    if cursor.rowcount != 1:
                        claimed = False
                        raise psycopg.Rollback(transaction)
            return claimed

        return self.run(claim)

    def claim_pace(self, key: BudgetKey, now: float, pause: float) -> float:
        """Keep ``pause`` seconds from the last spaced call under this limit; 0: go, else wait."""

        def claim(session: Session) -> float:
            row = session.execute(
                sql("claim_first_call"),
                {**vars(key), "now": now, "pause": pause},
            ).fetchone()
            if row is not None:
                return 0.0
            last = session.execute(
                "select extract(epoch from last_call_at)::float as at"
                f" from control.call_budgets {_WHERE}",
                vars(key),
            ).fetchone()
            return pause if last is None else max(0.01, last["at"] + pause - now)

        return self.run(claim)

    def take(
        self,
        connection_id: str,
        account_id: str,
        use_case: str,
        *,
        calls: int,
        most: float,
        now: float,
    ) -> Taken:
        """Count the calls before they are made, if that keeps the last hour within ``most``.

        The hour is rolling, in whole minutes, so that no sixty minutes ever hold more.
        """

        def take(session: Session) -> Taken:
            with session.transaction():
                session.execute(
                    "select pg_advisory_xact_lock(hashtextextended(%s, 0))",
                    [f"calls:{connection_id}"],
                )
                rows = session.execute(
                    "select extract(epoch from minute)::float as minute, sum(calls)::int as calls"
                    " from control.call_counts"
                    " where connection = %s and minute > to_timestamp(%s) group by 1 order by 1",
                    [connection_id, now - HOUR - 60],
                ).fetchall()
                used = sum(row["calls"] for row in rows)
                # A batch larger than the whole cap goes when nothing else was called.
                if used == 0 or used + calls <= most:
                    count = CallCount(now // 60 * 60, account_id, use_case, calls, 0)
                    _add_count(session.cursor(), connection_id, count)
                    return Taken(0.0, used + calls)
            excess = used + calls - most
            for row in rows:
                excess -= row["calls"]
                if excess <= 0:
                    return Taken(max(1.0, row["minute"] + 60 + HOUR - now), used)
            return Taken(max(1.0, rows[-1]["minute"] + 60 + HOUR - now), used)

        return self.run(take)

    def forget_counts(self, before: float) -> None:
        """Drop the counts of earlier minutes."""
        self.run(
            lambda session: session.execute(
                "delete from control.call_counts where minute < to_timestamp(%s)", [before]
            )
        )

    def _each(self, keys: Iterable[BudgetKey], update: str, **values: Any) -> None:
        ordered = sorted(keys)

        def run(session: Session) -> None:
            with session.transaction():
                for key in ordered:
                    session.execute(f"{update} {_WHERE}", {**vars(key), **values})

        self.run(run)

    def run(self, work: Callable[[Session], Result]) -> Result:
        """Do this in the session, again in a new one after a lost connection."""
        with self._lock:
            for _ in range(_TRIES - 1):
                try:
                    return work(self._session())
                except psycopg.Error as error:
                    if not is_lost(error) or self._closing:
                        raise
                    self._open.close()  # the next one waits for a server that restarts
            return work(self._session())

    def _session(self) -> Session:
        if self._current is None or self._current.closed:
            self._open.close()
            self._current = self._open.enter_context(self._database.connect(autocommit=True))
        return self._current


_TRIES = 3
_WHERE = "where app = %(app)s and account_id = %(account_id)s and use_case = %(use_case)s"


def _add_count(
    cursor: psycopg.Cursor[dict[str, Any]], connection_id: str, count: CallCount
) -> None:
    cursor.execute(
        sql("count_calls"),
        {"connection": connection_id, **vars(count)},
    )

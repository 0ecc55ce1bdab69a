"""Read every page of a list.

The SDK's cursor stops at the first empty page and follows ``paging.next``, a URL that holds the
token and may point at another host. Here only the ``after`` cursor is used, and only the absence of
``next`` ends a list: pages may be short or empty before that (Meta's "Paginated results" page). A
list that Meta does not end is ended by bounds on empty pages, pages and time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.config import ListLimits
from meta_ads_pipeline.meta_api.error_kinds import ErrorKind
from meta_ads_pipeline.meta_api.error_rules import BAD_RESPONSE, ENDLESS_LIST, Action, rule_for
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.shared_values import SharedValues

logger = logging.getLogger(__name__)

Row = dict[str, Any]

RESTARTS = 2
SMALLEST_PAGE = 25
MOST_PAGES_BEFORE_GROWTH = 64


@dataclass(frozen=True)
class LeftOut:
    """An object that Meta refuses, or fields of one; ``fields`` empty: the whole object."""

    reason: str
    object_id: str
    fields: tuple[str, ...] = ()


class Listing(list[Row]):
    """The items of a list, and what is missing from them.

    Items are as they came; what is no object is one, too. ``left_out`` could not be had;
    ``ended_early`` says why the list was left before its end: then objects that are not in it may
    exist all the same.
    """

    def __init__(
        self,
        rows: Iterable[Row] = (),
        left_out: Iterable[LeftOut] = (),
        ended_early: MetaApiError | None = None,
    ) -> None:
        super().__init__(rows)
        self.left_out = list(left_out)
        self.ended_early = ended_early

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Listing:
        """These rows as a listing; one stays what it is."""
        return rows if isinstance(rows, Listing) else cls(rows)


class PageSizes:
    """The page sizes that worked, by kind of list. Thread-safe.

    A size that was too much is not requested again until so many smaller pages came that one
    failure more is worth the try; that number doubles with each such failure.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._caps: dict[str, int] = {}
        self._streaks: dict[str, int] = {}
        self._needed: dict[str, int] = {}

    def limit(self, key: str, wanted: int) -> int:
        """The size to ask for."""
        with self._lock:
            return min(wanted, self._caps.get(key, wanted))

    def shrink(self, key: str, failed: int, smallest: int) -> bool:
        """Halve after a size failed; False when it is as small as allowed."""
        if failed <= smallest:
            return False
        with self._lock:
            halved = max(smallest, failed // 2)
            self._caps[key] = min(halved, self._caps.get(key, halved))
            needed = self._needed.get(key, 4)
            if self._streaks.get(key, -1) == 0:
                needed = min(2 * needed, MOST_PAGES_BEFORE_GROWTH)
            self._needed[key], self._streaks[key] = needed, -1
        return True

    def worked(self, key: str, size: int) -> None:
        """Learn that a page of this size came."""
        with self._lock:
            if self._caps.get(key) != size:
                return
            streak = max(0, self._streaks.get(key, 0)) + 1
            if streak >= self._needed.get(key, 4):
                self._caps[key], streak = 2 * size, 0
            self._streaks[key] = streak

    def forget(self, key: str) -> None:
        """Go back to full pages: the size was not the reason."""
        with self._lock:
            self._caps.pop(key, None)


@dataclass(frozen=True)
class Repair:
    """A changed call after a refused one: for the rest of the list, or for the failed page.

    ``limit`` bounds the pages of the list from here on.
    """

    call: Call
    lasting: bool = True
    limit: int | None = None


@dataclass(frozen=True)
class PageRead:
    """A page that was had in another way than by the call that failed."""

    document: Row
    left_out: tuple[LeftOut, ...] = ()


@dataclass
class ListReader:
    """Reads lists for one kind of call; sizes are remembered under ``size_key``.

    ``shrinks`` says whether a "too much data" error is answered by a smaller page; ``repair`` may
    change the call, or read the page in another way, after any other error and after one of a page
    that is as small as it gets. It is given the call of the page. ``keeps_what_came``: a later page
    that is refused for good ends the list early instead of failing it.
    """

    caller: Caller
    sizes: PageSizes
    size_key: str
    page_size: int
    limits: ListLimits = field(default_factory=ListLimits)
    smallest: int = SMALLEST_PAGE
    shrinks: Callable[[MetaApiError], bool] = lambda _error: True
    repair: Callable[[MetaApiError, Call], Repair | PageRead | None] | None = None
    keeps_what_came: bool = False
    clock: Callable[[], float] = time.monotonic

    def read(self, call: Call, counter: CallCounter | None = None) -> Listing:
        """All rows of all pages; raises ``MetaApiError``. An invalid cursor restarts the list."""
        restarts = 0
        while True:
            try:
                return self._read_through(call, counter)
            except MetaApiError as error:
                if error.action is not Action.RESTART_PAGING or restarts == RESTARTS:
                    raise
                restarts += 1

    def _read_through(self, call: Call, counter: CallCounter | None) -> Listing:
        found = Listing()
        shared = SharedValues()
        used: set[str] = set()
        after: str | None = None
        bound = self.page_size
        pages = empty = 0
        started = self.clock()
        while True:
            try:
                page, call, bound = self._page(call, after, bound, counter)
            except MetaApiError as error:
                if not pages or not self.keeps_what_came or not error.may_blame_a_part:
                    raise
                found.ended_early = error
                return found
            rows = page_rows(page.document, call)
            shared.put_into(rows)
            found.extend(rows)
            found.left_out += page.left_out
            after = next_cursor(page.document)
            if after is None:
                return found
            if after in used:
                raise MetaApiError(
                    rule_for(2642),
                    "the same cursor came twice",
                    what=f"{call.method} {call.path}",
                    account_id=call.account_id,
                )
            used.add(after)
            pages, empty = pages + 1, 0 if rows else empty + 1
            found.ended_early = self._endless(call, pages, empty, started, len(found))
            if found.ended_early is not None:
                logger.warning("%s", found.ended_early)
                return found

    def _endless(
        self, call: Call, pages: int, empty: int, started: float, rows: int
    ) -> MetaApiError | None:
        """The error of a list that goes on beyond its bounds."""
        spent = self.clock() - started
        if empty >= self.limits.empty_pages:
            why = f"{empty} empty pages in a row"
        elif pages >= self.limits.pages:
            why = f"{pages} pages"
        elif spent >= self.limits.seconds:
            why = f"{pages} pages in {spent:.0f} s"
        else:
            return None
        return MetaApiError(
            ENDLESS_LIST,
            f"left after {why}, with {rows} rows read",
            what=f"{call.method} {call.path}",
            account_id=call.account_id,
        )

    def _page(
        self, call: Call, after: str | None, bound: int, counter: CallCounter | None
    ) -> tuple[PageRead, Call, int]:
        """One page, made smaller or repaired until it comes; the call and size for the next."""
        this_page = call
        while True:
            limit = self.sizes.limit(self.size_key, bound)
            asked = this_page.with_params(limit=limit, after=after)
            try:
                document = self.caller.call(asked, counter).document
            except MetaApiError as refused:
                error = refused
                if error.suggests_smaller and self.shrinks(error):
                    smallest = asked.with_params(limit=self.smallest)
                    failed = self._fails_too(error, smallest, limit, counter)
                    if failed is not None:
                        error, asked = failed, smallest
                    elif self.sizes.shrink(self.size_key, limit, self.smallest):
                        continue
                fixed = self.repair(error, asked) if self.repair else None
                if fixed is None:
                    if not error.may_blame_a_part and error.rule.name != "reduce_data":
                        self.sizes.forget(self.size_key)  # no size helped: it was not the size
                    raise
                if isinstance(fixed, PageRead):
                    self.sizes.worked(self.size_key, limit)
                    return fixed, call, bound
                this_page = fixed.call
                call = fixed.call if fixed.lasting else call
                bound = fixed.limit or bound
                continue
            self.sizes.worked(self.size_key, limit)
            return PageRead(document), call, bound

    def _fails_too(
        self, error: MetaApiError, smallest: Call, limit: int, counter: CallCounter | None
    ) -> MetaApiError | None:
        """The error of the smallest page, where Meta does not say that the page was too large.

        Where that fails as well, Meta is ill or one object is, and ever smaller pages would be a
        storm of calls.
        """
        if error.kind is not ErrorKind.TRANSIENT or limit <= self.smallest:
            return None
        return self.caller.error_of(smallest, counter)


def page_rows(document: Any, call: Call) -> list[Row]:
    """The ``data`` of a page; raises ``MetaApiError`` where there is none.

    Items may be of any shape: a null stands for an object that Meta could not load.
    """
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise MetaApiError(
            BAD_RESPONSE,
            "a page without a list in `data`",
            what=f"{call.method} {call.path}",
            account_id=call.account_id,
        )
    return data


def objects_of(rows: Iterable[Any]) -> list[Row]:
    """Those items that are objects with an id."""
    return [row for row in rows if isinstance(row, dict) and row.get("id")]


def next_cursor(document: Row) -> str | None:
    """The cursor of the following page, None on the last one.

    ``cursors`` is there on the last page too, so ``next`` decides; it is only looked into for the
    cursor where ``cursors`` is absent.
    """
    paging = document.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if after:
        return str(after)
    named = parse_qs(urlsplit(str(paging["next"])).query).get("after")
    if named:
        return named[0]
    raise MetaApiError(BAD_RESPONSE, "there is a next page but no cursor that leads to it")

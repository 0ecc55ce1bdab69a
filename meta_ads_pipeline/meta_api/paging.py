"""Read every page of a list.

The SDK's cursor stops at the first empty page and follows ``paging.next``, a URL that holds the
token and may point at another host. Here only the ``after`` cursor is used, and only the absence of
``next`` ends a list: pages may be short or empty before that (Meta's "Paginated results" page).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.error_rules import BAD_RESPONSE, Action, ErrorKind, rule_for
from meta_ads_pipeline.meta_api.errors import MetaApiError

Row = dict[str, Any]

RESTARTS = 2
SMALLEST_PAGE = 25


class PageSizes:
    """The page sizes that worked; a size that was too much is not asked for again. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._caps: dict[str, int] = {}

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
        return True

    def forget(self, key: str) -> None:
        """Go back to full pages: the size was not the reason."""
        with self._lock:
            self._caps.pop(key, None)


@dataclass(frozen=True)
class Repair:
    """A changed call after a refused one: for the rest of the list, or for the failed page."""

    call: Call
    lasting: bool = True


@dataclass
class ListReader:
    """Reads lists for one kind of call; sizes are remembered under ``size_key``.

    ``shrinks`` says whether a "too much data" error is answered by a smaller page; ``repair`` may
    change the call after any other error.
    """

    caller: Caller
    sizes: PageSizes
    size_key: str
    page_size: int
    smallest: int = SMALLEST_PAGE
    shrinks: Callable[[MetaApiError], bool] = lambda _error: True
    repair: Callable[[MetaApiError, Call], Repair | None] | None = None

    def read(self, call: Call, counter: CallCounter | None = None) -> list[Row]:
        """All rows of all pages; raises MetaApiError. An invalid cursor restarts the list."""
        restarts = 0
        while True:
            try:
                return self._read_through(call, counter)
            except MetaApiError as error:
                if error.action is not Action.RESTART_PAGING or restarts == RESTARTS:
                    raise
                restarts += 1

    def _read_through(self, call: Call, counter: CallCounter | None) -> list[Row]:
        rows: list[Row] = []
        used: set[str] = set()
        after: str | None = None
        while True:
            document, call = self._page(call, after, counter)
            rows.extend(page_rows(document, call))
            after = next_cursor(document)
            if after is None:
                return rows
            if after in used:
                raise MetaApiError(
                    rule_for(2642),
                    "the same cursor came twice",
                    what=f"{call.method} {call.path}",
                    account_id=call.account_id,
                )
            used.add(after)

    def _page(self, call: Call, after: str | None, counter: CallCounter | None) -> tuple[Row, Call]:
        """One page, made smaller or repaired until it comes; and the call for the next one."""
        this_page = call
        while True:
            limit = self.sizes.limit(self.size_key, self.page_size)
            try:
                response = self.caller.call(
                    this_page.with_params(limit=limit, after=after), counter
                )
            except MetaApiError as error:
                if error.kind is ErrorKind.TOO_MUCH_DATA:
                    if self.shrinks(error) and self.sizes.shrink(
                        self.size_key, limit, self.smallest
                    ):
                        continue
                    raise
                fixed = self.repair(error, this_page) if self.repair else None
                if fixed is None:
                    raise
                this_page = fixed.call
                call = fixed.call if fixed.lasting else call
                continue
            return response.document, call


def page_rows(document: Any, call: Call) -> list[Row]:
    """The ``data`` of a page; raises MetaApiError where there is none.

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

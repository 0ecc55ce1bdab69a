"""Which unfinished slices are tried again, when, and together with which others. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from meta_ads_pipeline.control.retry_delays import LONGEST_DELAY, first_delay
from meta_ads_pipeline.windows import DateWindow

ABANDONED_AFTER = timedelta(hours=2)
LOCKS_ARE_TAKEN_AGAIN_WITHIN = timedelta(minutes=5)
"""After a restart of the database a run that goes on is without locks for a while."""


@dataclass(frozen=True)
class OpenSlice:
    """A slice that is not done, as ``control.slices`` has it. Instants are UTC."""

    account_id: str
    partition_date: date
    asset: str
    status: str
    attempts: int
    sync_id: str | None = None
    run_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    next_attempt_at: datetime | None = None
    error_kind: str | None = None
    error_message: str | None = None
    is_held: bool | None = None
    """Whether a live run holds the slice's lock; None: not known."""


@dataclass(frozen=True)
class RetryPlan:
    """Slices of one sync to try again in one run. Those already done in it are not fetched."""

    sync_id: str | None
    slices: tuple[OpenSlice, ...]

    @property
    def window(self) -> DateWindow:
        """The dates of the run."""
        dates = [s.partition_date for s in self.slices]
        return DateWindow(min(dates), max(dates))

    @property
    def account_ids(self) -> list[str]:
        """The accounts that the run is limited to."""
        return sorted({s.account_id for s in self.slices})

    def run_key(self, now: datetime) -> str:
        """The same for the same failures on the same day (UTC).

        An attempt changes it. A run that dies before its first attempt does not, and so is asked
        for again the next day, not every minute.
        """
        state = "\n".join(
            f"{s.account_id} {s.partition_date} {s.asset} {s.status} {s.attempts}"
            for s in sorted(self.slices, key=_place)
        )
        digest = hashlib.sha256(f"{self.sync_id}\n{state}".encode()).hexdigest()[:16]
        return f"retry:{now.date()}:{digest}"


def retry_at(slice_: OpenSlice) -> datetime | None:
    """When a slice is tried again; None when only a change of code or request can help it."""
    if slice_.next_attempt_at is not None:
        return slice_.next_attempt_at
    first = first_delay(slice_.error_kind)
    if first is None or slice_.finished_at is None:
        return None
    doublings = min(max(slice_.attempts, 1), 12) - 1
    return slice_.finished_at + min(first * (1 << doublings), LONGEST_DELAY)


def next_retry(
    slices: Iterable[OpenSlice], now: datetime, busy_runs: Collection[str] = ()
) -> RetryPlan | None:
    """The due slices of one sync, the sync with the newest date first; None when none is due.

    Slices of ``busy_runs`` are left to their run. A slice marked running whose run is over, or
    whose lock nobody holds, was abandoned.
    """
    due: dict[str | None, list[OpenSlice]] = {}
    for slice_ in slices:
        if slice_.run_id in busy_runs and not _is_abandoned(slice_, now):
            continue
        at = retry_at(slice_)
        is_running = slice_.status == "running"
        if (not slice_.is_held) if is_running else (at is not None and at <= now):
            due.setdefault(slice_.sync_id, []).append(slice_)
    if not due:
        return None
    newest = max(
        due, key=lambda sync: (max(s.partition_date for s in due[sync]), len(due[sync]), sync or "")
    )
    return RetryPlan(newest, tuple(sorted(due[newest], key=_place)))


def _is_abandoned(slice_: OpenSlice, now: datetime) -> bool:
    """The process was killed and its run never marked as over: its locks went with it."""
    if slice_.status != "running" or slice_.is_held:
        return False
    after = ABANDONED_AFTER if slice_.is_held is None else LOCKS_ARE_TAKEN_AGAIN_WITHIN
    return slice_.started_at is not None and slice_.started_at + after <= now


def _place(slice_: OpenSlice) -> tuple[str, date, str]:
    return slice_.account_id, slice_.partition_date, slice_.asset

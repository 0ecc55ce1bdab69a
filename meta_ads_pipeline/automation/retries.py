"""Which unfinished slices are tried again, when, and together with which others. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from meta_ads_pipeline.meta_api.error_rules import ErrorKind
from meta_ads_pipeline.windows import DateWindow

FIRST_DELAY = timedelta(minutes=5)
NEEDS_A_PERSON_DELAY = timedelta(hours=6)
LONGEST_DELAY = timedelta(days=1)
ABANDONED_AFTER = timedelta(hours=2)
ALERT_FROM_ATTEMPTS = 3


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

    @property
    def persistent(self) -> list[OpenSlice]:
        """Slices that failed often enough for a person to look."""
        return [s for s in self.slices if s.attempts >= ALERT_FROM_ATTEMPTS]

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
    """When a slice is tried again; None when only a change of code or request can help it.

    The delay doubles with every attempt. What needs a person first (a credential, a permission)
    is tried rarely: enough to go on by itself once it is repaired.
    """
    if slice_.next_attempt_at is not None:
        return slice_.next_attempt_at
    if slice_.status == "running":
        return None if slice_.started_at is None else slice_.started_at + ABANDONED_AFTER
    if slice_.error_kind == ErrorKind.INVALID or slice_.finished_at is None:
        return None
    needs_a_person = slice_.error_kind in (ErrorKind.AUTH, ErrorKind.PERMISSION)
    first = NEEDS_A_PERSON_DELAY if needs_a_person else FIRST_DELAY
    doublings = min(max(slice_.attempts, 1), 12) - 1
    return slice_.finished_at + min(first * (1 << doublings), LONGEST_DELAY)


def next_retry(
    slices: Iterable[OpenSlice], now: datetime, busy_runs: Collection[str] = ()
) -> RetryPlan | None:
    """The due slices of one sync, the sync with the newest date first; None when none is due.

    Slices of ``busy_runs`` are left to their run. A slice marked running whose run is over was
    abandoned.
    """
    due: dict[str | None, list[OpenSlice]] = {}
    for slice_ in slices:
        if slice_.run_id in busy_runs and not _is_abandoned(slice_, now):
            continue
        at = retry_at(slice_)
        if (slice_.status == "running" and slice_.run_id not in busy_runs) or (
            at is not None and at <= now
        ):
            due.setdefault(slice_.sync_id, []).append(slice_)
    if not due:
        return None
    newest = max(
        due, key=lambda sync: (max(s.partition_date for s in due[sync]), len(due[sync]), sync or "")
    )
    return RetryPlan(newest, tuple(sorted(due[newest], key=_place)))


def _is_abandoned(slice_: OpenSlice, now: datetime) -> bool:
    """Nothing is fetched for hours: the process was killed and its run never marked as over."""
    return (
        slice_.status == "running"
        and slice_.started_at is not None
        and slice_.started_at + ABANDONED_AFTER <= now
    )


def _place(slice_: OpenSlice) -> tuple[str, date, str]:
    return slice_.account_id, slice_.partition_date, slice_.asset

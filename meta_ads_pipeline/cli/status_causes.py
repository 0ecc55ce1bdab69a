"""What needs a person, by cause: one expired token is one cause, whatever it left undone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meta_ads_pipeline.credentials.connections import ENVIRONMENT_NAME, ConnectionStatus

_NUMBERS = re.compile(r"\d[\d,.:-]*")
_KINDS_OF_A_CONNECTION = "connection "
_OF_LEFT_OUT = "account_unreadable"


@dataclass(frozen=True)
class Cause:
    """Something that a person must put right: what to do, what is wrong, what waits for it."""

    action: str
    what: str
    account_ids: tuple[str, ...] = ()
    slices: int = 0

    @property
    def extent(self) -> str:
        """What waits for it, as the end of a sentence."""
        parts = []
        if self.account_ids:
            parts.append(_counted(len(self.account_ids), "ad account"))
        if self.slices:
            parts.append(_counted(self.slices, "slice"))
        return f". Waiting for it: {', '.join(parts)}" if parts else ""


def causes_of(status: Mapping[str, list[dict[str, Any]]]) -> list[Cause]:
    """The causes, those with most behind them first: connections, accounts, alerts, slices."""
    causes = [*_paused_connections(status), *_left_out(status)]
    explained = {account_id for cause in causes for account_id in cause.account_ids}
    paused = {row["connection"] for row in status["connections"] if not _usable(row)}
    causes += _alerts(status, explained, paused)
    causes += _parked(status, explained)
    return causes


def _paused_connections(status: Mapping[str, list[dict[str, Any]]]) -> list[Cause]:
    causes = []
    for row in status["connections"]:
        ids = tuple(row["account_ids"])
        if _usable(row) or (row["from_environment"] and not ids):
            continue
        workspace, name = row["connection"].split("/", 1)
        again = (
            "Set META_ACCESS_TOKEN to a new token"
            if name == ENVIRONMENT_NAME
            else f"Give a new token: `meta-ads connect --workspace {workspace} --name {name}`"
        )
        causes.append(
            Cause(
                again,
                f"connection {row['connection']} is paused ({row['status']}): {row['reason']}",
                ids,
                _slices_of(status, ids),
            )
        )
    return sorted(causes, key=lambda cause: -len(cause.account_ids))


def _left_out(status: Mapping[str, list[dict[str, Any]]]) -> list[Cause]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for row in status["left_out"]:
        by_reason[str(row["reason"])].append(row["account_id"])
    return [
        Cause(
            "Give the token's user access in Business settings, or run `meta-ads accounts stop "
            f"{' '.join(ids)}`",
            f"ad accounts cannot be read: {reason}",
            tuple(ids),
            _slices_of(status, ids),
        )
        for reason, ids in by_reason.items()
    ]


def _alerts(
    status: Mapping[str, list[dict[str, Any]]], explained: set[str], paused: set[str]
) -> list[Cause]:
    """Open alerts that no cause above explains; those that differ in numbers alone are one."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in status["alerts"]:
        subject = str(row["subject"])
        of_connection = subject.removeprefix(_KINDS_OF_A_CONNECTION)
        if (
            row["severity"] == "info"
            or row["kind"] == _OF_LEFT_OUT
            or of_connection in paused
            or any(account_id in subject for account_id in explained)
        ):
            continue
        groups[row["kind"], _NUMBERS.sub("", row["what_to_do"])].append(row)
    return [
        Cause(
            rows[0]["what_to_do"],
            rows[0]["message"]
            + (f" (and {len(rows) - 1} more of the kind)" if len(rows) > 1 else ""),
        )
        for rows in groups.values()
    ]


def _parked(status: Mapping[str, list[dict[str, Any]]], explained: set[str]) -> list[Cause]:
    """Slices that no retry is planned for, by what Meta or the database said."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in status["open_slices"]:
        if row["status"] == "parked" and row["account_id"] not in explained:
            groups[_NUMBERS.sub("", str(row["reason"]))].append(row)
    return [
        Cause(
            "Put right what the reason names, then run the sync of these dates again",
            str(rows[0]["reason"]),
            tuple(sorted({row["account_id"] for row in rows})),
            sum(row["slices"] for row in rows),
        )
        for rows in groups.values()
    ]


def _slices_of(status: Mapping[str, list[dict[str, Any]]], ids: Any) -> int:
    return sum(row["slices"] for row in status["open_slices"] if row["account_id"] in ids)


def _usable(row: Mapping[str, Any]) -> bool:
    return ConnectionStatus(row["status"]).usable


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"

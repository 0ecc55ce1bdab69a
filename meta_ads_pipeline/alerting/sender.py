"""The sender: what each destination has not been told, in as few messages as make sense.

Warnings and worse go at once, one message each, several in one where there are many; ``info`` waits
for the daily digest. Recoveries go where the alert went. In quiet hours only what is critical is
sent; the rest follows after them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apprise import Apprise, LogCapture, NotifyType

from meta_ads_pipeline.alerting.destinations import Destination, parse_destinations
from meta_ads_pipeline.alerting.notices import (
    Notice,
    due_notices,
    last_sent_at,
    record_notices,
)
from meta_ads_pipeline.alerting.quiet_hours import parse_quiet_hours
from meta_ads_pipeline.control.alerts import Severity
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.redaction import redact
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

MOST_SINGLE_MESSAGES = 5
"""More alerts than these at a time are one message: a page a person can read."""

DIGEST_INTERVAL = timedelta(hours=24)

_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}


@dataclass(frozen=True)
class Message:
    """One message about some notices, as it is sent."""

    title: str
    body: str
    type: NotifyType
    notices: Sequence[Notice]


@dataclass(frozen=True)
class Sent:
    """What a round did: messages sent, and an error for each destination that took none."""

    messages: int
    errors: dict[str, str]


def send_due(database: Database, settings: Settings, now: datetime) -> Sent:
    """Tell every destination what it was not told yet; ``now`` is UTC.

    A destination that fails is tried again later and costs no other. One process at a time sends. A
    process killed between sending and writing it down sends that one message again.
    """
    destinations = parse_destinations(settings.alert_urls or "")
    quiet = settings.alert_quiet_hours and parse_quiet_hours(settings.alert_quiet_hours)
    is_quiet = bool(quiet) and quiet.contains(now)  # type: ignore[union-attr]
    sent = 0
    errors: dict[str, str] = {}
    if not destinations:
        return Sent(sent, errors)
    with database.exclusive("alerts"):
        for destination in destinations:
            due = due_notices(database, destination, now)
            if is_quiet:
                due = [notice for notice in due if notice.severity is Severity.CRITICAL]
            if not _digest_is_due(database, destination, now):
                due = [notice for notice in due if notice.severity is not Severity.INFO]
            for message in messages_of(due):
                error = send(destination, message)
                record_notices(database, destination, message.notices, now, error=error)
                if error is not None:
                    errors[destination.label] = error
                    break
                sent += 1
    return Sent(sent, errors)


def _digest_is_due(database: Database, destination: Destination, now: datetime) -> bool:
    last = last_sent_at(database, destination, Severity.INFO)
    return last is None or now - last >= DIGEST_INTERVAL


def messages_of(notices: Sequence[Notice]) -> list[Message]:
    """The messages for these notices: ``info`` in one, the rest one each unless they are many."""
    digest = [notice for notice in notices if notice.severity is Severity.INFO]
    urgent = [notice for notice in notices if notice.severity is not Severity.INFO]
    messages = (
        [_combined(urgent, f"{len(urgent)} alerts")]
        if len(urgent) > MOST_SINGLE_MESSAGES
        else [_single(notice) for notice in urgent]
    )
    if digest:
        messages.append(_combined(digest, f"Digest: {len(digest)} notes"))
    return messages


def _single(notice: Notice) -> Message:
    kind = NotifyType.SUCCESS if notice.is_recovery else _TYPES[notice.severity]
    return Message(_title(notice), _body(notice), kind, [notice])


def _combined(notices: Sequence[Notice], title: str) -> Message:
    worst = min((n for n in notices if not n.is_recovery), default=None, key=_weight)
    kind = NotifyType.SUCCESS if worst is None else _TYPES[worst.severity]
    parts = [f"{_title(notice)}\n{_body(notice)}" for notice in notices]
    return Message(f"Meta ads: {title}", "\n\n".join(parts), kind, notices)


def _weight(notice: Notice) -> int:
    return -list(Severity).index(notice.severity)


def _title(notice: Notice) -> str:
    state = "recovered" if notice.is_recovery else str(notice.severity)
    return redact(f"[{state}] {notice.subject}")


def _body(notice: Notice) -> str:
    if notice.is_recovery and notice.resolved_at is not None:
        lasted = notice.resolved_at - notice.first_raised_at
        return redact(f"Over after {_duration(lasted)}: {notice.message}")
    since = f"Since {notice.first_raised_at:%Y-%m-%d %H:%M} UTC."
    return redact(f"{notice.message}\n{notice.what_to_do}\n{since}")


def _duration(lasted: timedelta) -> str:
    minutes = int(lasted.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def send(destination: Destination, message: Message) -> str | None:
    """Send one message; an error in one line without secrets, or None when it was taken."""
    service = Apprise()
    service.add(destination.url)
    try:
        with LogCapture(level=logging.WARNING, fmt="%(message)s") as captured:  # type: ignore[no-untyped-call]
            taken = service.notify(body=message.body, title=message.title, notify_type=message.type)
            said = " ".join(captured.getvalue().split())
    except Exception as error:  # noqa: BLE001 - whatever a service's code raises is not sent
        taken, said = False, f"{type(error).__name__}: {error}"
    if taken:
        return None
    reason = redact(said, [destination.url])[:500] or "the service did not accept the message"
    logger.warning("an alert could not be sent to %s: %s", destination.label, reason)
    return reason

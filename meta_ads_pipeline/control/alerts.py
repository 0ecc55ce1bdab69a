"""Alerts: what a person should know or do, opened once for each subject and kind, then closed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

logger = logging.getLogger(__name__)


class Severity(StrEnum):
    """How much it matters; the order of definition is the order of weight."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_LOG_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


@dataclass(frozen=True)
class Alert:
    """Something to tell. ``subject`` names what it is about, e.g. ``connection default/main``.

    ``stage`` tells two states of one alert apart: when it changes, or the severity does, the alert
    is news again. ``message`` and ``what_to_do`` must hold no secret.
    """

    kind: str
    subject: str
    severity: Severity
    message: str
    what_to_do: str
    stage: str = ""


@dataclass(frozen=True)
class OpenAlert:
    """An alert as it stands open in ``control.alerts``; instants are UTC."""

    alert: Alert
    times_raised: int
    first_raised_at: datetime
    last_raised_at: datetime
    escalated_at: datetime


def open_alert(database: Database, alert: Alert, *, now: datetime | None = None) -> bool:
    """Open the alert, or count the open one once more; True, and logged, when that is news."""
    at = now or datetime.now(UTC)
    with database.connect() as connection:
        row = connection.execute(
            sql("open_alert"),
            {
                "kind": alert.kind,
                "subject": alert.subject,
                "severity": str(alert.severity),
                "stage": alert.stage,
                "message": alert.message,
                "what": alert.what_to_do,
                "at": at,
            },
        ).fetchone()
    assert row is not None
    if row["is_news"]:
        logger.log(_LOG_LEVELS[alert.severity], "%s. %s", alert.message, alert.what_to_do)
    return bool(row["is_news"])


def close_alerts(
    database: Database,
    subject: str,
    kinds: Collection[str] = (),
    *,
    now: datetime | None = None,
) -> int:
    """Close the open alerts of a subject, of all kinds or of some; returns how many were open."""
    with database.connect() as connection:
        cursor = connection.execute(
            "update control.alerts set resolved_at = %s"
            " where subject = %s and resolved_at is null and (%s or kind = any(%s))",
            [now or datetime.now(UTC), subject, not kinds, list(kinds)],
        )
    return cursor.rowcount


def update_alerts(
    database: Database,
    subject: str,
    standing: Iterable[Alert],
    kinds: Collection[str],
    *,
    now: datetime | None = None,
) -> None:
    """Make ``standing`` the subject's only open alerts among ``kinds``: open these, close others.

    Raises ``ValueError`` on an alert of another subject or kind.
    """
    alerts = list(standing)
    for alert in alerts:
        if alert.subject != subject or alert.kind not in kinds:
            raise ValueError(f"{alert.kind} of {alert.subject} is not among {subject}, {kinds}")
        open_alert(database, alert, now=now)
    gone = set(kinds) - {alert.kind for alert in alerts}
    if gone:
        close_alerts(database, subject, gone, now=now)


def update_alerts_of_kind(
    database: Database, kind: str, standing: Iterable[Alert], *, now: datetime | None = None
) -> None:
    """Make ``standing`` the only open alerts of a kind, whatever their subjects."""
    alerts = list(standing)
    for alert in alerts:
        open_alert(database, alert, now=now)
    subjects = {alert.subject for alert in alerts}
    for each in list_open_alerts(database):
        if each.alert.kind == kind and each.alert.subject not in subjects:
            close_alerts(database, each.alert.subject, [kind], now=now)


def close_alerts_of_left_accounts(
    database: Database, kinds: Collection[str], *, now: datetime | None = None
) -> int:
    """Close alerts of these kinds about ad accounts that are synced no more; how many were open.

    For kinds that only a pull of the account would close.
    """
    with database.connect() as connection:
        cursor = connection.execute(
            "update control.alerts as l set resolved_at = %s from control.ad_accounts as a"
            " where l.resolved_at is null and l.kind = any(%s) and not a.is_active"
            " and l.subject ~ ('^ad account (act_)?' || a.account_id || '\\M')",
            [now or datetime.now(UTC), list(kinds)],
        )
    return cursor.rowcount


def list_open_alerts(database: Database, subject: str | None = None) -> list[OpenAlert]:
    """The open alerts, the weightiest first; of one subject where one is given."""
    with database.connect() as connection:
        rows = connection.execute(
            "select * from control.alerts"
            " where resolved_at is null and (%(subject)s::text is null or subject = %(subject)s)"
            " order by array_position(array['critical', 'warning', 'info'], severity),"
            "   escalated_at desc, alert_id",
            {"subject": subject},
        ).fetchall()
    return [
        OpenAlert(
            alert=Alert(
                kind=row["kind"],
                subject=row["subject"],
                severity=Severity(row["severity"]),
                message=row["message"],
                what_to_do=row["what_to_do"],
                stage=row["stage"],
            ),
            times_raised=row["times_raised"],
            first_raised_at=row["first_raised_at"],
            last_raised_at=row["last_raised_at"],
            escalated_at=row["escalated_at"],
        )
        for row in rows
    ]

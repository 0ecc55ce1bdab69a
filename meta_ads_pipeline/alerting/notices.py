"""Notices: which alert has to be told to which destination, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from meta_ads_pipeline.alerting.destinations import Destination
from meta_ads_pipeline.control.alerts import Severity
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

FIRST_DELAY = timedelta(minutes=1)
"""Before a notice that could not be sent is tried again; doubled each time."""
LONGEST_DELAY = timedelta(hours=1)


@dataclass(frozen=True)
class Notice:
    """What a destination has to be told of one alert. Instants are UTC."""

    alert_id: int
    notice: str
    kind: str
    subject: str
    severity: Severity
    message: str
    what_to_do: str
    times_raised: int
    first_raised_at: datetime
    escalated_at: datetime
    resolved_at: datetime | None

    @property
    def is_recovery(self) -> bool:
        """Whether it tells that the alert is over."""
        return self.notice == "recovered"


def due_notices(database: Database, destination: Destination, now: datetime) -> list[Notice]:
    """What the destination has not been told yet, the weightiest first."""
    severities = list(Severity)
    wanted = [str(each) for each in severities[severities.index(destination.least) :]]
    rows = database.run(
        lambda connection: connection.execute(
            sql("due_notices"), {"destination": destination.key, "severities": wanted, "now": now}
        ).fetchall()
    )
    return [Notice(**{**row, "severity": Severity(row["severity"])}) for row in rows]


def record_notices(
    database: Database,
    destination: Destination,
    notices: Sequence[Notice],
    now: datetime,
    *,
    error: str | None,
) -> None:
    """Note that the notices were sent, or why not and when to try again."""
    database.run(
        lambda connection: connection.cursor().executemany(
            sql("record_notice"),
            [
                {
                    "alert": notice.alert_id,
                    "destination": destination.key,
                    "notice": notice.notice,
                    "escalated": notice.escalated_at,
                    "now": now,
                    "first": FIRST_DELAY,
                    "longest": LONGEST_DELAY,
                    "sent": None if error else now,
                    "error": error,
                }
                for notice in notices
            ],
        )
    )


def last_sent_at(
    database: Database, destination: Destination, severity: Severity
) -> datetime | None:
    """When the destination was last told of an alert of this severity (UTC)."""
    row = database.run(
        lambda connection: connection.execute(
            "select max(n.sent_at) as at from control.alert_notices as n"
            " join control.alerts as a using (alert_id)"
            " where n.destination = %s and a.severity = %s",
            [destination.key, str(severity)],
        ).fetchone()
    )
    return None if row is None else row["at"]


def mute(database: Database, kind: str, subject: str, until: datetime) -> None:
    """Send no notice of this kind (of one subject, or of all where it is empty) until then."""
    database.run(
        lambda connection: connection.execute(
            "insert into control.alert_mutes values (%s, %s, %s)"
            " on conflict (kind, subject) do update set muted_until = excluded.muted_until",
            [kind, subject, until],
        )
    )

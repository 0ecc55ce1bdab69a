"""What is wrong with the whole, looked for every few minutes: each cause is one kind of alert.

Other alerts are raised where their cause is met: credentials (``credentials``), limits
(``rate_limit``), slices that keep failing (``automation``). Here is what nobody meets: data that do
not come, days that are held back, a disk that fills up.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import psycopg

from meta_ads_pipeline.control.alerts import (
    Alert,
    Severity,
    close_alerts_of_left_accounts,
    update_alerts_of_kind,
)
from meta_ads_pipeline.control.database import Connection, Database
from meta_ads_pipeline.control.timezones import CHANGED
from meta_ads_pipeline.meta_api.versions import LATEST, known_version
from meta_ads_pipeline.rate_limit.alerts import ALERT_KIND as CALL_BUDGET
from meta_ads_pipeline.settings import Settings
from meta_ads_pipeline.sql_files import SqlFolder

logger = logging.getLogger(__name__)
sql = SqlFolder(__file__)

Cause: TypeAlias = Callable[[Connection, Settings, datetime], list[Alert]]

GIGABYTE = 1e9
DISK_WARNING_BYTES, DISK_CRITICAL_BYTES = 5 * GIGABYTE, 1 * GIGABYTE
CAPACITY_WARNING, CAPACITY_CRITICAL = 0.8, 0.95
RESTATED_PERCENT = 5.0
"""Of a day's spend, from two days after it: what Meta usually restates by then is far less."""
EMPTIED_IS_NEWS_FOR = timedelta(days=3)
_MOST_DATES = 5
CLOSED_BY_A_PULL = (CALL_BUDGET, CHANGED)
"""Kinds that end with a call for their ad account: none comes where that is synced no more."""
VERSION_DAYS = ((7, Severity.CRITICAL), (30, Severity.WARNING), (90, Severity.INFO))


def update_watched(database: Database, settings: Settings, now: datetime) -> dict[str, int]:
    """Open and close the alerts of every cause; how many stand, by kind. ``now`` is UTC.

    A cause that cannot be looked at leaves its alerts as they are and costs no other. What is about
    an ad account that was stopped or lost is over.
    """
    standing: dict[str, int] = {}
    for kind, find in CAUSES.items():
        try:
            with database.connect() as connection:
                alerts = find(connection, settings, now)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            continue  # the marts, or Dagster's tables, are not there yet
        except psycopg.Error:
            logger.exception("cannot look for %s", kind)
            continue
        update_alerts_of_kind(database, kind, alerts, now=now)
        standing[kind] = len(alerts)
    close_alerts_of_left_accounts(database, CLOSED_BY_A_PULL, now=now)
    return standing


def stale_data(connection: Connection, settings: Settings, now: datetime) -> list[Alert]:
    """Ad accounts whose newest hour is late, where the schedules are to keep them current.

    One that was seen for the first time just now is given as long for its first hour.
    """
    if not settings.schedules_on:
        return []
    rows = connection.execute(
        "select f.account_id, f.data_lag_minutes as lag, f.expected_lag_minutes as expected,"
        " f.last_hour_at from marts.freshness as f join control.ad_accounts as a using (account_id)"
        " where f.is_active and f.is_late and (f.last_hour_at is not null"
        " or a.created_at < %(now)s - f.expected_lag_minutes * interval '1 minute')",
        {"now": now},
    ).fetchall()
    return [
        Alert(
            kind="stale_data",
            subject=_account(row),
            severity=Severity.CRITICAL
            if (row["lag"] or 0) > 4 * row["expected"]
            else Severity.WARNING,
            message=f"act_{row['account_id']}: "
            + (
                f"the newest hour in the marts began at {row['last_hour_at']:%Y-%m-%d %H:%M} UTC; "
                "newer hours are over. Today's numbers are incomplete"
                if row["last_hour_at"]
                else "no hour is in the marts yet, and there should be"
            ),
            what_to_do="`meta-ads status` says what stands in the way; is `meta-ads up` running?",
        )
        for row in rows
    ]


def held_days(connection: Connection, _settings: Settings, _now: datetime) -> list[Alert]:
    """Account-days that are kept out of the facts."""
    rows = connection.execute(
        "select account_id, held_days as days, held_dates as dates from marts.freshness"
        " where is_active and held_days > 0"
    ).fetchall()
    return [
        Alert(
            kind="held_account_days",
            subject=_account(row),
            severity=Severity.WARNING,
            message=f"act_{row['account_id']}: {row['days']} days are held out of the marts, "
            f"because their numbers do not agree: {str(row['dates'])[:300]}",
            what_to_do="They are pulled again by themselves. If they stay: "
            "`meta-ads query \"select * from marts.check_results where status = 'failed'\"`",
            stage=f"{row['days']} days",
        )
        for row in rows
    ]


def days_without_rows(connection: Connection, _settings: Settings, now: datetime) -> list[Alert]:
    """Past days that Meta answers without rows: kept for now, or emptied in the last days."""
    rows = connection.execute(
        sql("days_without_rows"), {"since": now - EMPTIED_IS_NEWS_FOR}
    ).fetchall()
    return [
        Alert(
            kind="day_without_rows",
            subject=_account(row),
            severity=Severity.WARNING,
            message=f"act_{row['account_id']}: Meta answers without rows, where there were some: "
            + "; ".join(
                f"{_dates(dates)} ({what})"
                for dates, what in (
                    (row["kept"], "what was landed is kept and asked for again"),
                    (row["removed"], "several pulls in a row said so: the rows are removed"),
                )
                if dates
            ),
            what_to_do="Compare with Ads Manager; marts.restatements has what was removed",
            stage=f"{len(row['kept'] or ())} kept, {len(row['removed'] or ())} removed",
        )
        for row in rows
    ]


def _dates(dates: list[date]) -> str:
    more = f" and {len(dates) - _MOST_DATES} more" if len(dates) > _MOST_DATES else ""
    return ", ".join(f"{each}" for each in dates[-_MOST_DATES:]) + more


def anomalies(connection: Connection, settings: Settings, now: datetime) -> list[Alert]:
    """Open anomalies of the chosen kinds that began within the last week."""
    if not settings.alert_anomalies:
        return []
    rows = connection.execute(
        "select account_id, anomaly_key, kind, sentence, severity from marts.anomalies"
        " where status = 'open' and kind = any(%s) and ends_at > %s",
        [list(settings.alert_anomalies), now - timedelta(days=7)],
    ).fetchall()
    return [
        Alert(
            kind="anomaly",
            subject=f"{row['kind']} {row['anomaly_key']} in {_account(row)}",
            severity=Severity.WARNING if row["severity"] == "warn" else Severity.INFO,
            message=row["sentence"],
            what_to_do="Look at it in Ads Manager; docs/marts/anomalies.md says how it was found",
        )
        for row in rows
    ]


def restatements(connection: Connection, _settings: Settings, now: datetime) -> list[Alert]:
    """Days whose spend Meta has changed by more than usual within the last day."""
    rows = connection.execute(
        sql("restated_spend"),
        {"since": now - timedelta(days=1), "percent": RESTATED_PERCENT},
    ).fetchall()
    return [
        Alert(
            kind="restatement",
            subject=f"{row['event_date']} of {_account(row)}",
            severity=Severity.WARNING,
            message=f"act_{row['account_id']}: Meta has changed the spend of {row['event_date']} "
            f"by {row['change']:+,.2f} from {row['before']:,.2f}, more than {RESTATED_PERCENT:g} %",
            what_to_do="Reports of that date have changed; marts.restatements has every value",
        )
        for row in rows
    ]


def full_database(connection: Connection, settings: Settings, _now: datetime) -> list[Alert]:
    """The database near its capacity, where one is set."""
    if settings.database_gigabytes is None:
        return []
    row = connection.execute("select pg_database_size(current_database()) as bytes").fetchone()
    assert row is not None
    used = row["bytes"] / GIGABYTE / settings.database_gigabytes
    if used < CAPACITY_WARNING:
        return []
    return [
        Alert(
            kind="database_capacity",
            subject="database",
            severity=Severity.CRITICAL if used >= CAPACITY_CRITICAL else Severity.WARNING,
            message=f"the database holds {row['bytes'] / GIGABYTE:,.1f} GB of "
            f"{settings.database_gigabytes:g} GB ({used:.0%}); when it is full nothing can land",
            what_to_do="Make it larger (META_ADS_DATABASE_GIGABYTES), or keep less "
            "(docs/retention.md)",
        )
    ]


def full_disk(_connection: Connection, settings: Settings, _now: datetime) -> list[Alert]:
    """Little room where ``META_ADS_HOME`` is."""
    free = shutil.disk_usage(settings.home if settings.home.exists() else "/").free
    if free >= DISK_WARNING_BYTES:
        return []
    return [
        Alert(
            kind="disk",
            subject="disk of META_ADS_HOME",
            severity=Severity.CRITICAL if free < DISK_CRITICAL_BYTES else Severity.WARNING,
            message=f"{free / GIGABYTE:,.1f} GB are free where META_ADS_HOME is; on a full disk "
            "the embedded database stops",
            what_to_do="Make room, or move META_ADS_HOME to another disk",
        )
    ]


def slow_runs(connection: Connection, settings: Settings, now: datetime) -> list[Alert]:
    """Runs at work for longer than their bound."""
    rows = connection.execute(
        "select run_id, pipeline_name as job, to_timestamp(start_time) as started_at"
        " from dagster.runs where status = 'STARTED' and start_time < %s",
        [(now - timedelta(hours=settings.alert_run_hours)).timestamp()],
    ).fetchall()
    return [
        Alert(
            kind="slow_run",
            subject=f"run {row['run_id']}",
            severity=Severity.WARNING,
            message=f"{row['job']} is at work since {row['started_at']:%Y-%m-%d %H:%M} UTC, longer "
            f"than {settings.alert_run_hours:g} hours (META_ADS_ALERT_RUN_HOURS)",
            what_to_do="`meta-ads status` says what it waits for; a run that was cancelled resumes",
        )
        for row in rows
    ]


def silent_webhooks(connection: Connection, settings: Settings, now: datetime) -> list[Alert]:
    """No webhook for long, though on three days of the two weeks before some came."""
    silence = timedelta(hours=settings.alert_webhook_silence_hours)
    row = connection.execute(
        "select max(minute) as last, count(distinct minute::date) as days"
        " from control.webhook_requests where outcome = 'accepted' and minute > %s",
        [now - silence - timedelta(days=14)],
    ).fetchone()
    assert row is not None
    if row["last"] is None or row["days"] < 3 or row["last"] > now - silence:
        return []
    return [
        Alert(
            kind="webhook_silence",
            subject="webhooks",
            severity=Severity.WARNING,
            message=f"no webhook since {row['last']:%Y-%m-%d %H:%M} UTC; changes at Meta are seen "
            "with the next reading of lists only",
            what_to_do="`meta-ads webhooks test --url ADDRESS` as Meta reaches it, then "
            "`meta-ads webhooks subscribe --url ADDRESS`",
        )
    ]


def ending_version(_connection: Connection, settings: Settings, now: datetime) -> list[Alert]:
    """The Graph API version in use is about to end."""
    version = known_version(settings.api_version)
    if version is None:
        return []
    days = (version.ends - now.date()).days
    severity = next((s for most, s in VERSION_DAYS if days <= most), None)
    if severity is None:
        return []
    about = "about " if version.is_estimate else ""
    ends = f"ends {about}on {version.ends}" if days > 0 else f"has ended {about}on {version.ends}"
    better = (
        f"set META_API_VERSION={LATEST.name}"
        if version != LATEST
        else "install the release of this project that has the next one"
    )
    return [
        Alert(
            kind="api_version",
            subject=f"Graph API {version.name}",
            severity=severity,
            message=f"Graph API {version.name} {ends}; calls are refused afterwards",
            what_to_do=f"{'Before that day' if days > 0 else 'Now'}: {better}",
        )
    ]


def _account(row: Mapping[str, Any]) -> str:
    return f"ad account act_{row['account_id']}"


CAUSES: dict[str, Cause] = {
    "stale_data": stale_data,
    "held_account_days": held_days,
    "day_without_rows": days_without_rows,
    "anomaly": anomalies,
    "restatement": restatements,
    "database_capacity": full_database,
    "disk": full_disk,
    "slow_run": slow_runs,
    "webhook_silence": silent_webhooks,
    "api_version": ending_version,
}

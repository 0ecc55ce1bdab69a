"""For how long the rows of ``control`` and ``raw`` are kept, and the deletion of older ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import Settings

_ROWS_AT_ONCE = 20_000
"""Deleted in one transaction: pulls and readers wait for no long one."""


@dataclass(frozen=True)
class Rule:
    """Rows of ``table`` that end: those older than the days of ``setting`` that meet ``ended``.

    ``ended`` is SQL about the row ``t``, in which ``%(before)s`` is the instant (UTC) before which
    rows are old. ``kept`` says in words what stays for longer.
    """

    table: str
    setting: str
    ended: LiteralString
    kept: str = ""

    def days(self, settings: Settings) -> int | None:
        """After so many days rows go; None: they are kept."""
        value: int | None = getattr(settings, self.setting)
        return value


RULES = (
    Rule(
        "control.slice_loads",
        "retention_audit_days",
        # The last load of a slice says when it was pulled; of ads by the day the last of each date
        # on which it was pulled is what marts.restatement_curve is built from.
        "t.loaded_at < %(before)s and exists ("
        " select from control.slice_loads as later"
        " join control.ad_accounts as a on a.account_id = t.account_id"
        " where later.account_id = t.account_id and later.asset = t.asset"
        " and later.partition_date = t.partition_date and later.load_id > t.load_id"
        " and later.run_id is distinct from 'replay'"
        " and (t.asset <> 'insights_daily' or (later.pulled_at at time zone a.timezone)::date"
        "   = (t.pulled_at at time zone a.timezone)::date))",
        "the last load of each slice, and of ads by the day the last of each day of pulling",
    ),
    Rule("control.slice_failures", "retention_audit_days", "t.failed_at < %(before)s"),
    Rule(
        "control.syncs",
        "retention_audit_days",
        # A gap's sync began, as it were, before everything: when it was asked for is opened_at.
        "greatest(t.opened_at, t.started_at, t.finished_at) < %(before)s",
    ),
    Rule(
        "control.dead_letters",
        "retention_closed_days",
        "t.status <> 'open' and t.resolved_at < %(before)s",
        "open ones, until they are replayed or discarded",
    ),
    Rule(
        "control.webhook_events",
        "retention_closed_days",
        "t.status <> 'pending' and t.last_received_at < %(before)s",
        "those whose object is not read again yet",
    ),
    Rule("control.ingest_requests", "retention_closed_days", "t.created_at < %(before)s"),
    Rule("control.stream_events", "retention_stream_days", "t.created_at < %(before)s"),
    Rule("control.webhook_requests", "retention_closed_days", "t.minute < %(before)s"),
    Rule(
        "control.alerts",
        "retention_closed_days",
        "t.resolved_at < %(before)s",
        "open ones",
    ),
    Rule("control.alert_mutes", "retention_closed_days", "t.muted_until < %(before)s"),
    Rule(
        "control.check_results",
        "retention_check_results_days",
        "t.status = 'passed' and t.event_date is not null and t.last_checked_at < %(before)s",
        "results that are open, and those of entities, which have no date",
    ),
    Rule(
        "raw.entity_versions",
        "retention_entity_versions_days",
        # What was in force at that instant stays, so that no moment after it is without a version.
        "exists (select from raw.entity_versions as later where later.level = t.level"
        " and later.entity_id = t.entity_id and later.valid_from > t.valid_from"
        " and later.valid_from <= %(before)s)",
        "the version that was in force then, and all later ones",
    ),
)
"""What is not here is not deleted by age; ``docs/retention.md`` says why it need not be."""


def delete_old_rows(
    database: Database, rule: Rule, settings: Settings, now: datetime
) -> int | None:
    """Delete the rows that the rule says are over; how many, None where they are kept.

    ``now`` is aware. In transactions of some thousand rows each: what was deleted stays so when
    the process is killed.
    """
    days = rule.days(settings)
    if days is None:
        return None
    return sum(_batches(database, rule, now - timedelta(days=days)))


def _batches(database: Database, rule: Rule, before: datetime) -> Iterator[int]:
    while True:
        with database.connect() as connection:
            deleted = connection.execute(
                f"delete from {rule.table} where ctid = any(array("
                f" select t.ctid from {rule.table} as t where {rule.ended} limit %(most)s))",
                {"before": before, "most": _ROWS_AT_ONCE},
            ).rowcount
        yield deleted
        if deleted < _ROWS_AT_ONCE:
            return

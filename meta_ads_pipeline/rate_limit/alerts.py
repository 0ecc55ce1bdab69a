"""Alerts about a limit that is nearly used up, or blocked."""

from __future__ import annotations

import logging

from meta_ads_pipeline.control.alerts import Alert, Severity, close_alerts, open_alert
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.rate_limit.store import BudgetKey

logger = logging.getLogger(__name__)

ALERT_KIND = "call_budget"


def raise_budget_alert(database: Database, key: BudgetKey, stage: str, message: str) -> None:
    """Tell that a limit is ``full`` or ``blocked``. Raises ``DatabaseError``."""
    alert = Alert(
        kind=ALERT_KIND,
        subject=key.subject,
        severity=Severity.WARNING,
        message=message,
        what_to_do="Calls wait by themselves, today's data first. If it comes back, sync less "
        "often (PERFORMANCE_SYNC_INTERVAL_MINUTES), backfill fewer days at once, or ask Meta "
        "for a higher access tier of the app",
        stage=stage,
    )
    open_alert(database, alert)


def resolve_budget_alerts(database: Database, key: BudgetKey, why: str) -> None:
    """Take them back. Raises ``DatabaseError``."""
    if close_alerts(database, key.subject, [ALERT_KIND]):
        logger.info("%s: %s", key.subject, why)

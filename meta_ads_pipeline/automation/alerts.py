"""The sensors that look for what is wrong, and send alerts to ``META_ADS_ALERT_URLS``."""

from datetime import UTC, datetime

import dagster as dg

from meta_ads_pipeline.alerting.sender import send_due
from meta_ads_pipeline.alerting.watch import update_watched
from meta_ads_pipeline.resources import DatabaseResource
from meta_ads_pipeline.settings import get_settings


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends open alerts and recoveries to META_ADS_ALERT_URLS. On by default: it calls "
    "nobody where that is not set, and never Meta.",
)
def send_alerts(_context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """One round; what could not be sent is tried again at a later tick."""
    settings = get_settings()
    if not settings.alert_urls:
        return dg.SkipReason("META_ADS_ALERT_URLS is not set")
    sent = send_due(database.database, settings, datetime.now(UTC))
    failed = "".join(f"; {label}: {error}" for label, error in sent.errors.items())
    return dg.SkipReason(f"{sent.messages} messages sent{failed}")


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for late data, held days, anomalies, large restatements, a full disk or "
    "database, slow runs, silent webhooks, an ending API version, and opens or closes their "
    "alerts. On by default: it reads our own database alone.",
)
def watch(_context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """One look at every cause."""
    standing = update_watched(database.database, get_settings(), datetime.now(UTC))
    found = ", ".join(f"{count} {kind}" for kind, count in standing.items() if count)
    return dg.SkipReason(found or "nothing is wrong")


alert_sensors = [watch, send_alerts]

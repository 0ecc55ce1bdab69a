"""Whether schedules and sensors that spend the call budget start by themselves.

They are off until someone turns them on: in the UI, where the choice is remembered, or for good
with ``META_ADS_SCHEDULES_ON``.
"""

import dagster as dg

from meta_ads_pipeline.settings import Settings


def schedule_status(settings: Settings) -> dg.DefaultScheduleStatus:
    """The default status of a schedule."""
    statuses = dg.DefaultScheduleStatus
    return statuses.RUNNING if settings.schedules_on else statuses.STOPPED


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """The default status of a sensor."""
    statuses = dg.DefaultSensorStatus
    return statuses.RUNNING if settings.schedules_on else statuses.STOPPED

"""How many rows of insights a day of an account has, from what is landed."""

from __future__ import annotations

from meta_ads_pipeline.control import slices
from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.control.slices import SliceKey
from meta_ads_pipeline.insights_tables import DAILY_TABLE, INSIGHTS_TABLES

HOURS_WITH_DELIVERY = 20.0
"""Of 24; an ad that ran a whole day has no rows for a few hours of the night."""


def expected_rows_per_day(connection: Connection, key: SliceKey) -> float | None:
    """From the latest slices; before the first load from the days' or the active ads; else None."""
    seen = slices.rows_per_day(connection, key)
    table = INSIGHTS_TABLES[key.asset]
    if seen is not None or table.level == "account":
        return seen
    hours = HOURS_WITH_DELIVERY if table.grain == "hour" else 1.0
    days = slices.rows_per_day(connection, SliceKey(key.account_id, DAILY_TABLE.asset))
    if days is not None:
        return days * hours
    row = connection.execute(
        "select count(*) as ads from raw.ads"
        " where account_id = %s and effective_status = 'ACTIVE' and not is_deleted",
        [key.account_id],
    ).fetchone()
    return row["ads"] * hours if row is not None and row["ads"] else None

"""Values that an answer lacks because Meta refused their field, or because nobody asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from meta_ads_pipeline.insights_tables import VALUES, InsightsTable, meta_field
from meta_ads_pipeline.meta_api.insights_query import InsightsPart
from meta_ads_pipeline.raw.json_text import storable_text


def missing_values(table: InsightsTable, parts: Sequence[InsightsPart]) -> list[tuple[str, str]]:
    """Pairs of an object and a column of ``table`` that was not read for the object's rows.

    A field is refused for an account, or it cannot be had for one ad and day. Neither says anything
    of the value that an earlier pull has landed.
    """
    missing = set()
    for part in parts:
        read = {*part.query.fields} - part.missing
        columns = [
            name for name in table.columns if name in VALUES and meta_field(name) not in read
        ]
        if columns:
            objects = [row for row in part.rows if isinstance(row, dict)]
            ids = {storable_text(str(row.get(f"{part.query.level}_id"))) for row in objects}
            missing |= {(each, name) for each in ids for name in columns}
    return sorted(missing)

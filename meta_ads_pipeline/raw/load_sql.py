"""The statements that replace slices of an insights table by difference. Text only, no database.

Named parameters: ``account``, ``dates``, ``timezone``, ``currency``, ``api_version``,
``pulled_at``, for the ledger ``asset``, ``loaded_dates``, ``loaded_at``, and for a table with
periods those that the pull asked for, ``period_ends`` with ``periods``.
"""

from __future__ import annotations

from collections.abc import Iterable

from meta_ads_pipeline.insights_tables import ACTION_LISTS, MEASURES, VALUES, InsightsTable
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

INCOMING = "incoming_rows"
DIFFERENCE = "slice_difference"
REJECTED = "rejected_rows"

_KEPT_VALUE = "coalesce(i.{0}, case when '{0}' = any(missing.columns) then t.{0} end)"
_OBJECT_IDS = ("campaign_id", "adset_id", "ad_id", "entity_id")


def statement(name: str, table: InsightsTable) -> bytes:
    """The statement ``sql/<name>.sql`` for the table: its columns, and its rows old and new."""
    lists = [name for name in table.values if name in ACTION_LISTS]
    scalars = [name for name in table.values if name not in ACTION_LISTS]
    of_meta = [name for name in table.values if name in VALUES]
    # Hours carry on-Meta actions only: the ledger takes actions from the day's rows.
    ledger_lists = lists if table.grain == "day" else []
    ledger = () if table.has_periods else (*MEASURES, *ledger_lists)
    old_and_new = (f"s.{name} as old_{name}, i.{name} as new_{name}" for name in ledger)
    return sql(
        name,
        table=table.name,
        key=", ".join(table.key),
        t_key=_of("t.", table.key),
        d_key=_of("d.", table.key),
        r_key=_of("r.", table.key),
        t_object=f"t.{table.entity_column}",
        i_key=_of("i.", table.key),
        metas_values=", ".join(of_meta),
        kept_values=", ".join(_KEPT_VALUE.format(name) for name in of_meta),
        t_objects=_of("t.", [name for name in _OBJECT_IDS if name in table.columns]),
        columns=", ".join(table.columns),
        i_columns=_of("i.", table.columns),
        values=", ".join(table.values),
        i_values=_of("i.", table.values),
        s_scalars=_of("s.", scalars),
        i_scalars=_of("i.", scalars),
        s_lists=_of("s.", lists),
        i_lists=_of("i.", lists),
        kept_columns=", ".join((*table.key, *old_and_new)),
        has_periods=str(table.has_periods).lower(),
        period="period" if table.has_periods else "null::text",
        entity="d.ad_id" if table.level == "ad" else "%(account)s",
        hour="d.event_hour" if table.grain == "hour" else "null::smallint",
        measures=", ".join(f"'{name}'" for name in MEASURES),
        old_measures=_of("d.old_", MEASURES),
        new_measures=_of("d.new_", MEASURES),
        lists=", ".join(f"'{name}'" for name in ledger_lists),
        old_lists=_of("d.old_", ledger_lists),
        new_lists=_of("d.new_", ledger_lists),
    )


def _of(prefix: str, names: Iterable[str]) -> str:
    return ", ".join(f"{prefix}{name}" for name in names)


def create_incoming(table: InsightsTable) -> str:
    """A temporary table for the pulled rows, typed like the target."""
    return (
        f"create temporary table {INCOMING} on commit drop as"
        f" select {', '.join(table.columns)} from {table.name} where false"
    )


def create_rejected(table: InsightsTable) -> str:
    """A temporary table for what is known of the keys of rows that cannot be used."""
    return (
        f"create temporary table {REJECTED} on commit drop as"
        f" select {', '.join(table.key)} from {table.name} where false"
    )


def conflicting(table: InsightsTable) -> str:
    """The keys of rows that are there already, with other values."""
    return f"select {', '.join(table.key)} from {DIFFERENCE} where change = 'updated'"


def keep_new_only() -> str:
    """Forget all differences but new rows: what does not come with them stays as it is."""
    return f"delete from {DIFFERENCE} where change <> 'inserted'"


def count_difference() -> str:
    """Rows per date and change."""
    return f"select event_date, change, count(*) as rows from {DIFFERENCE} group by 1, 2"

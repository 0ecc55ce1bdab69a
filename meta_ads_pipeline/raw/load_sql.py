"""The statements that replace slices of an insights table by difference. Text only, no database.

Named parameters: ``account``, ``dates``, ``timezone``, ``currency``, ``api_version``,
``pulled_at``, for the ledger ``asset``, ``loaded_dates``, ``loaded_at``, and for a table with
periods those that the pull asked for, ``period_ends`` with ``periods``.
"""

from __future__ import annotations

from meta_ads_pipeline.insights_tables import ACTION_LISTS, MEASURES, InsightsTable

INCOMING = "incoming_rows"
DIFFERENCE = "slice_difference"
REJECTED = "rejected_rows"

_CONSTANTS = ("account_id", "timezone", "currency", "api_version", "pulled_at")
_CONSTANT_VALUES = "%(account)s, %(timezone)s, %(currency)s, %(api_version)s, %(pulled_at)s"


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


def keep_rejected(table: InsightsTable) -> str:
    """A row that came and could not be used has not vanished: what is stored of it stays."""
    same = " and ".join(f"(r.{name} is null or r.{name} = d.{name})" for name in table.key)
    return (
        f"delete from {DIFFERENCE} as d using {REJECTED} as r where d.change = 'deleted' and {same}"
    )


def keep_left_out(table: InsightsTable) -> str:
    """Rows of objects that Meta refused have not vanished: what is stored of them stays.

    Parameter ``left_out``: ids of campaigns, ad sets or ads, which no two objects share.
    """
    names = [n for n in ("campaign_id", "adset_id", "ad_id", "entity_id") if n in table.columns]
    is_theirs = " or ".join(f"t.{name} = any(%(left_out)s)" for name in names) or "false"
    return (
        f"delete from {DIFFERENCE} as d using {table.name} as t"
        f" where d.change = 'deleted' and {_same_row('d', table)} and ({is_theirs})"
    )


def slices_hold_rows(table: InsightsTable) -> str:
    """Whether the slices have any row yet: a first load needs no comparison."""
    return f"select exists ({_stored('1', table)}) as held"


def insert_all(table: InsightsTable) -> str:
    """A first load: everything is new."""
    columns = ", ".join(table.columns)
    return (
        f"insert into {table.name} ({columns}, {', '.join(_CONSTANTS)})"
        f" select {columns}, {_CONSTANT_VALUES} from {INCOMING}"
    )


def create_difference(table: InsightsTable) -> str:
    """Every row that is new, vanished or distinct, with the old and the new measures.

    The time of the pull and the API version do not make a row distinct.
    """
    lists = [name for name in table.values if name in ACTION_LISTS]
    scalars = [name for name in table.values if name not in ACTION_LISTS]
    new = ", ".join(f"i.{name}" for name in scalars)
    old = ", ".join(f"s.{name}" for name in scalars)
    lists_differ = "".join(
        # Meta's order of the items means nothing and changes between pulls.
        f" or case when s.{name} is not distinct from i.{name} then false"
        f" else {_in_order(f's.{name}')} is distinct from {_in_order(f'i.{name}')} end"
        for name in lists
    )
    measures = () if table.has_periods else (*MEASURES, *_ledger_actions(table))
    old_and_new = (f"s.{name} as old_{name}, i.{name} as new_{name}" for name in measures)
    return (
        f"create temporary table {DIFFERENCE} on commit drop as select"
        " case when s.account_id is null then 'inserted'"
        f" when i.is_incoming is null then 'deleted' else 'updated' end as change,"
        f" {', '.join((*table.key, *old_and_new))}"
        f" from ({_stored('*', table)}) as s"
        f" full join (select *, true as is_incoming from {INCOMING}) as i"
        f" using ({', '.join(table.key)})"
        " where s.account_id is null or i.is_incoming is null"
        f" or ({old}, s.timezone, s.currency)"
        f" is distinct from ({new}, %(timezone)s, %(currency)s)"
        f"{lists_differ}"
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


def delete_vanished(table: InsightsTable) -> str:
    """Remove what the answer no longer has."""
    return (
        f"delete from {table.name} as t using {DIFFERENCE} as d"
        f" where d.change = 'deleted' and {_same_row('d', table)}"
    )


def update_changed(table: InsightsTable) -> str:
    """Bring rows that are distinct up to date."""
    values = ", ".join(f"i.{name}" for name in table.values)
    return (
        f"update {table.name} as t set ({', '.join((*table.values, *_CONSTANTS[1:]))})"
        f" = row({values}, %(timezone)s, %(currency)s, %(api_version)s, %(pulled_at)s)"
        f" from {DIFFERENCE} as d join {INCOMING} as i using ({', '.join(table.key)})"
        f" where d.change = 'updated' and {_same_row('d', table)}"
    )


def insert_new(table: InsightsTable) -> str:
    """Add rows that were not there."""
    columns = ", ".join(f"i.{name}" for name in table.columns)
    return (
        f"insert into {table.name} ({', '.join(table.columns)}, {', '.join(_CONSTANTS)})"
        f" select {columns}, {_CONSTANT_VALUES}"
        f" from {INCOMING} as i join {DIFFERENCE} as d using ({', '.join(table.key)})"
        " where d.change = 'inserted'"
    )


def record_changes(table: InsightsTable) -> str:
    """Write restated measures of slices that had been loaded before to the ledger.

    New and vanished rows are in it too (old or new is null), so that for every slice the first
    load plus all differences is what the table holds.
    """
    entity = "d.ad_id" if table.level == "ad" else "%(account)s"
    hour = "d.event_hour" if table.grain == "hour" else "null::smallint"
    measures = ", ".join(
        f"('{name}', d.old_{name}::text, d.new_{name}::text,"
        f" d.old_{name} is distinct from d.new_{name})"
        for name in MEASURES
    )
    changes = f"select * from (values {measures}) as m(measure, old_value, new_value, changed)"
    for name in _ledger_actions(table):
        changes += (
            f" union all select '{name}:' || action_type, o.value, n.value,"
            " o.value is distinct from n.value"
            f" from ({_by_type(f'd.old_{name}')}) as o"
            f" full join ({_by_type(f'd.new_{name}')}) as n using (action_type)"
        )
    return (
        "insert into raw.insights_changes (account_id, event_date, asset, entity_id, event_hour,"
        " measure, old_value, new_value, previous_pulled_at, detected_at)"
        f" select %(account)s, d.event_date, %(asset)s, {entity}, {hour}, m.measure, m.old_value,"
        " m.new_value, p.pulled_at, %(pulled_at)s"
        f" from {DIFFERENCE} as d"
        " join unnest(%(loaded_dates)s::date[], %(loaded_at)s::timestamptz[])"
        "   as p(event_date, pulled_at) on p.event_date = d.event_date"
        f" cross join lateral ({changes}) as m"
        # A day that is still running grows with every pull: only its last state is of interest.
        " where m.changed"
        " and %(pulled_at)s >= (d.event_date + 1)::timestamp at time zone %(timezone)s"
    )


def _stored(what: str, table: InsightsTable) -> str:
    asked = (
        " and (event_date, period) in"
        " (select * from unnest(%(period_ends)s::date[], %(periods)s::text[]))"
    )
    return (
        f"select {what} from {table.name}"
        " where account_id = %(account)s and event_date = any(%(dates)s)"
        f"{asked if table.has_periods else ''}"
    )


def _same_row(other: str, table: InsightsTable) -> str:
    same = [f"t.{name} = {other}.{name}" for name in table.key]
    # The account and the dates again, as values: they let Postgres skip other months.
    same += ["t.account_id = %(account)s", "t.event_date = any(%(dates)s)"]
    return " and ".join(same)


def _ledger_actions(table: InsightsTable) -> tuple[str, ...]:
    """Hours carry on-Meta actions only: the ledger takes actions from the day's rows."""
    return tuple(name for name in ACTION_LISTS if name in table.columns and table.grain == "day")


def _in_order(column: str) -> str:
    """The items of a list by value; whatever is no list as it is."""
    return (
        f"case when jsonb_typeof({column}) = 'array' then (select jsonb_agg(a order by a)"
        f" from jsonb_array_elements({column}) as a) else {column} end"
    )


def _by_type(column: str) -> str:
    return (
        "select a ->> 'action_type' as action_type,"
        " string_agg(a ->> 'value', '+' order by a ->> 'value') as value"
        f" from jsonb_array_elements({column}) as a"
        " where a ->> 'action_type' is not null group by 1"
    )

"""Delete everything that is kept of ad accounts: what Meta said, and what was built from it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from meta_ads_pipeline.control.database import Database

_SCHEMAS = ("raw", "intermediate", "marts", "control")
_TABLES = """
select n.nspname as schema, c.relname as name
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_attribute as a on a.attrelid = c.oid and a.attname = 'account_id' and a.attnum > 0
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = any(%s)
    and (n.nspname, c.relname) <> ('control', 'ad_accounts')
order by 1, 2
"""


def purge_accounts(database: Database, account_ids: Sequence[str]) -> dict[str, int]:
    """Delete every row of these accounts, in one transaction; rows deleted by table.

    Every table with a column ``account_id`` is meant, whoever made it. The accounts stay known as
    stopped, so that a token that still reads them does not bring them back. Dagster's own event
    log and the logs on disk name accounts, too, and are not touched.
    """
    ids, deleted = list(account_ids), {}
    with database.connect() as connection:
        for table in connection.execute(_TABLES, [list(_SCHEMAS)]).fetchall():
            statement = sql.SQL("delete from {} where account_id = any(%s)").format(
                sql.Identifier(table["schema"], table["name"])
            )
            count = connection.execute(statement, [ids]).rowcount
            if count:
                deleted[f"{table['schema']}.{table['name']}"] = count
        connection.execute(
            "update control.ad_accounts set is_active = false, connection_id = null, name = null,"
            " updated_at = now() where account_id = any(%s)",
            [ids],
        )
        connection.execute(
            "delete from control.alerts where subject = any(%s)",
            [[f"ad account act_{account_id}" for account_id in ids]],
        )
    return deleted

"""Delete everything that is kept of ad accounts: what Meta said, and what was built from it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL, Identifier

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_SCHEMAS = ("raw", "intermediate", "marts", "control")


def purge_accounts(database: Database, account_ids: Sequence[str]) -> dict[str, int]:
    """Delete every row of these accounts, in one transaction; rows deleted by table.

    Every table with a column ``account_id`` is meant, whoever made it. The accounts stay known as
    stopped, so that a token that still reads them does not bring them back. Dagster's own event
    log and the logs on disk name accounts, too, and are not touched.
    """
    ids, deleted = list(account_ids), {}
    with database.connect() as connection:
        for table in connection.execute(
            sql("tables_by_account"), {"schemas": list(_SCHEMAS)}
        ).fetchall():
            statement = SQL("delete from {} where account_id = any(%s)").format(
                Identifier(table["schema"], table["name"])
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

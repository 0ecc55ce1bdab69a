"""A lock for each run in progress, held by its process: how others see that it is still alive.

The lock is a session's, so that it ends with the process however that ends, on whatever host. A
session that was lost (a restart of the server, a broken network) is replaced within seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import psycopg

from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

logger = logging.getLogger(__name__)

_LOOKS_EVERY_SECONDS = 5.0
_LOCK = "hashtext('meta-ads run'), hashtext(%s)"


@contextmanager
def hold(database: Database, run_id: str) -> Iterator[None]:
    """Hold the run's lock while the block lasts, and take it again when its session is lost."""
    over, taken = threading.Event(), threading.Event()

    def keep() -> None:
        while not over.is_set():
            try:
                with database.connect(autocommit=True) as connection:
                    connection.execute(f"select pg_try_advisory_lock_shared({_LOCK})", [run_id])
                    taken.set()
                    while not over.wait(_LOOKS_EVERY_SECONDS):
                        connection.execute("select 1")
            except (DatabaseError, psycopg.Error) as error:
                logger.warning("run %s lost its database session: %s", run_id, error)
                over.wait(1.0)

    keeper = threading.Thread(target=keep, name="run-lock", daemon=True)
    keeper.start()
    taken.wait(_LOOKS_EVERY_SECONDS)
    try:
        yield
    finally:
        over.set()
        keeper.join()


def held(database: Database, run_ids: Collection[str]) -> set[str]:
    """Which of these runs have a live process, as the database sees it."""
    with database.connect() as connection:
        rows = connection.execute(
            sql("live_runs"),
            {"runs": list(run_ids)},
        ).fetchall()
    return {row["run_id"] for row in rows}

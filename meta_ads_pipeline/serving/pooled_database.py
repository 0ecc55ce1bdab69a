"""The database for a process that answers many short requests: sessions are kept open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from meta_ads_pipeline.control.database import Database, DatabaseError

_MOST_SESSIONS = 10
_PATIENCE_SECONDS = 10.0


class PooledDatabase(Database):
    """As ``Database``, with sessions that are used again; opens the first when it is asked for."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.url)
        self._pool: ConnectionPool[psycopg.Connection[dict[str, Any]]] = ConnectionPool(
            database.url,
            connection_class=psycopg.Connection[dict[str, Any]],
            kwargs={
                "row_factory": dict_row,
                "options": "-c timezone=UTC",
                "application_name": "meta-ads serve",
            },
            min_size=0,
            max_size=_MOST_SESSIONS,
            timeout=_PATIENCE_SECONDS,
            check=ConnectionPool.check_connection,
            open=True,
        )

    @contextmanager
    def connect(self, **options: Any) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """One transaction on a pooled session; with ``options`` on a session of its own.

        Raises ``DatabaseError`` when no session is to be had within ten seconds.
        """
        if options:
            with super().connect(**options) as connection:
                yield connection
            return
        try:
            connection = self._pool.getconn()
        except PoolTimeout as error:
            raise DatabaseError(f"no session with {self.safe_url}: {error}") from error
        try:
            # Commits, or rolls back on an exception; does not close a pooled session.
            with connection.transaction():
                yield connection
        finally:
            self._pool.putconn(connection)

    def dispose(self) -> None:
        """Close the sessions."""
        self._pool.close()
        super().dispose()

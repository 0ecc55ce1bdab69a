"""The one way to the database: where it is, how to connect, how its schema is kept current."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres
from meta_ads_pipeline.settings import Settings

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
MINIMUM_SERVER_VERSION = 150000
_MIGRATION_LOCK = 0x4D657461  # "Meta": two processes starting at once must not both migrate


class DatabaseError(RuntimeError):
    """The database cannot be used; the message says why and what to do."""


class Database:
    """A handle on one Postgres database. Cheap to create; connects on first use.

    ``url`` is a libpq URL (``postgresql://``) and may contain a password: never log it, log
    ``safe_url``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine: Engine | None = None

    @property
    def safe_url(self) -> str:
        """The URL with its password masked."""
        return make_url(self.url).render_as_string(hide_password=True)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine (psycopg 3) for the control tables; one pool per process."""
        if self._engine is None:
            self._engine = create_engine(
                make_url(self.url).set(drivername="postgresql+psycopg"),
                poolclass=QueuePool,
                pool_size=4,
                max_overflow=12,
                pool_pre_ping=True,
            )
        return self._engine

    @contextmanager
    def connect(self, **options: Any) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """A psycopg connection with dict rows, one transaction unless ``autocommit=True``.

        Commits on a clean exit, rolls back on an exception, closes either way. Times are UTC.
        Raises ``DatabaseError`` when the server cannot be reached.
        """
        try:
            connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
                self.url,
                row_factory=dict_row,
                options="-c timezone=UTC",
                application_name="meta-ads",
                **options,
            )
        except psycopg.OperationalError as error:
            raise DatabaseError(
                f"cannot connect to {self.safe_url}: {str(error).strip()}. "
                "Check META_ADS_DATABASE_URL and that the server is running"
            ) from error
        with connection:
            yield connection

    def check(self) -> None:
        """Prove that the server answers, is new enough and may be written to.

        Raises ``DatabaseError`` naming what is wrong.
        """
        with self.connect() as connection:
            version = connection.info.server_version
            if version < MINIMUM_SERVER_VERSION:
                raise DatabaseError(
                    f"{self.safe_url} is PostgreSQL {version // 10000}; 15 or later is needed"
                )
            row = connection.execute(
                "select pg_is_in_recovery() as standby,"
                " current_setting('default_transaction_read_only')::bool as read_only,"
                " has_database_privilege(current_database(), 'CREATE') as may_create"
            ).fetchone()
            assert row is not None
            if row["standby"] or row["read_only"] or not row["may_create"]:
                raise DatabaseError(
                    f"{self.safe_url} cannot be written to: connect as a role that may create "
                    "schemas in it (grant create on database), not to a read-only standby"
                )

    def migrate(self) -> None:
        """Bring the ``control`` and ``raw`` schemas up to date. Idempotent, safe to run at once.

        Raises ``DatabaseError`` when the server cannot be reached or written to.
        """
        from alembic import command

        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.check()
        with self.engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.commit()
            try:
                config = alembic_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
            finally:
                connection.execute(
                    text("select pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK}
                )
                connection.commit()

    def dispose(self) -> None:
        """Close the pooled connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def alembic_config() -> Any:
    """Alembic's configuration, built in code: the package carries its migrations with it."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def open_database(settings: Settings, *, migrate: bool = True) -> Database:
    """The database the settings name, started if it is the embedded one, migrated unless told not.

    Raises ``DatabaseError`` or ``EmbeddedPostgresError`` with what to do.
    """
    if settings.database_url is not None:
        database = Database(settings.database_url.get_secret_value())
    else:
        database = Database(EmbeddedPostgres(settings.home).start())
    if migrate:
        database.migrate()
    return database


def export_environment(database: Database) -> None:
    """Tell Dagster's storage and dbt's profile, which read the environment, where the database is.

    Dagster keeps its tables in the schema ``dagster`` of the same database; psycopg2 is named in
    the URL because dagster-postgres needs it.
    """
    url = make_url(database.url)
    dagster = url.set(drivername="postgresql+psycopg2").update_query_dict(
        {"options": "-csearch_path=dagster"}
    )
    os.environ["META_ADS_DAGSTER_STORAGE_URL"] = dagster.render_as_string(hide_password=False)
    host = url.query.get("host", url.host or "localhost")
    os.environ["META_ADS_DBT_HOST"] = host if isinstance(host, str) else host[0]
    os.environ["META_ADS_DBT_PORT"] = str(url.port or 5432)
    os.environ["META_ADS_DBT_USER"] = url.username or "postgres"
    os.environ["META_ADS_DBT_PASSWORD"] = str(url.password or "")
    os.environ["META_ADS_DBT_DATABASE"] = url.database or "postgres"
    sslmode = url.query.get("sslmode", "prefer")
    os.environ["META_ADS_DBT_SSLMODE"] = sslmode if isinstance(sslmode, str) else sslmode[0]

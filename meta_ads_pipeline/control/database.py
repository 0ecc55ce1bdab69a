"""The one way to the database: where it is, how to connect, how its schema is kept current."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.rows import dict_row, tuple_row
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from meta_ads_pipeline.errors import MetaAdsError
from meta_ads_pipeline.redaction import redact
from meta_ads_pipeline.settings import Settings, get_settings

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
MINIMUM_SERVER_VERSION = 150000
_MIGRATION_LOCK = 0x4D657461  # "Meta": two processes starting at once must not both migrate
_RESTART_SECONDS = 30.0
_TRIES = 4

Connection: TypeAlias = psycopg.Connection[dict[str, Any]]
T = TypeVar("T")


class DatabaseError(MetaAdsError):
    """The database cannot be used; the message says why and what to do."""


class Database:
    """A handle on one Postgres database. Cheap to create; connects on first use.

    ``url`` is a libpq URL (``postgresql://``) and may contain a password: never log it, log
    ``safe_url``. ``server`` is the embedded server behind it, which is started again when it is
    found dead; any other server that answered before is given time to come back by itself.
    """

    def __init__(self, url: str, *, server: EmbeddedPostgres | None = None) -> None:
        self.url = url
        self._server = server
        self._has_answered = False
        self._engine: Engine | None = None

    @property
    def safe_url(self) -> str:
        """The URL with its passwords masked, as libpq reads it: ``psql "URL"`` connects."""
        try:
            url = make_url(self.url).render_as_string(hide_password=True)
        except (SQLAlchemyError, ValueError):
            return redact(self.url)
        base, separator, query = url.partition("?")
        # SQLAlchemy writes a space in the folder of a socket as +, which libpq takes for a +.
        return redact(base + separator + query.replace("+", "%20"))

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine (psycopg 3) for the control tables; one pool per process."""
        if self._engine is None:
            self._engine = create_engine(
                make_url(self.url).set(drivername="postgresql+psycopg"),
                creator=lambda: self._open(row_factory=tuple_row),
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
        connection: Connection = self._open(
            row_factory=dict_row,
            options="-c timezone=UTC",
            application_name="meta-ads",
            **options,
        )
        with connection:
            yield connection

    def run(self, work: Callable[[Connection], T], **options: Any) -> T:
        """Do ``work`` in one transaction, from its beginning again where that is what helps.

        That is when the server goes away, and when it ends the transaction for the sake of another
        one. ``work`` must be repeatable: a commit whose answer was lost may have succeeded. Raises
        what ``work`` raises, and ``DatabaseError`` when the server stays away.
        """
        for _ in range(_TRIES - 1):
            try:
                with self.connect(**options) as connection:
                    return work(connection)
            except psycopg.Error as error:
                if is_lost(error):
                    logger.warning("lost database connection (%s); retrying", type(error).__name__)
                elif _is_rolled_back(error):
                    logger.warning("transaction rolled back (%s); retrying", type(error).__name__)
                else:
                    raise
        with self.connect(**options) as connection:
            return work(connection)

    def _open(self, **options: Any) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(self.url, **options)
        except psycopg.ProgrammingError as error:
            # Without its cause: libpq quotes the part that it cannot read, which may be a password.
            raise DatabaseError(
                f"META_ADS_DATABASE_URL cannot be read: {redact(error).strip()}. Expected "
                "postgresql://user:password@host:port/database, with %, @, : and / in the password "
                "written as %25, %40, %3A and %2F"
            ) from None
        except psycopg.OperationalError as error:
            connection = self._open_again(error, options)
        self._has_answered = True
        return connection

    def _open_again(
        self, error: psycopg.OperationalError, options: dict[str, Any]
    ) -> psycopg.Connection[Any]:
        """Connect to a server that has just gone away; at once no for one that never answered."""
        patience = _RESTART_SECONDS if self._has_answered or self._server is not None else 0.0
        deadline, pause = time.monotonic() + patience, 0.05
        while time.monotonic() < deadline:
            if self._server is not None:
                try:
                    self._server.start()
                except EmbeddedPostgresError as reason:
                    raise DatabaseError(str(reason)) from reason
            else:
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
            try:
                return psycopg.connect(self.url, **options)
            except psycopg.OperationalError as again:
                error = again
        raise DatabaseError(
            f"cannot connect to {self.safe_url}: {redact(error).strip()}. "
            "Check META_ADS_DATABASE_URL and that the server is running"
        ) from error

    @contextmanager
    def kept_running(self) -> Iterator[None]:
        """Have the embedded server started again whenever it dies; others are not ours to keep."""
        if self._server is None:
            yield
            return
        with self._server.kept_running():
            yield

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        """One process at a time per ``name``; gives whether it had to wait.

        A Postgres advisory lock on a connection of its own: it ends with the process.
        """
        with self.connect(autocommit=True) as connection:
            query = "select pg_try_advisory_lock(hashtext('meta-ads'), hashtext(%s)) as free"
            row = connection.execute(query, [name]).fetchone()
            assert row is not None
            if not row["free"]:
                connection.execute(
                    "select pg_advisory_lock(hashtext('meta-ads'), hashtext(%s))", [name]
                )
            yield not row["free"]

    @contextmanager
    def exclusive_if_free(self, name: str) -> Iterator[bool]:
        """The lock of ``exclusive`` without waiting; gives whether it was free and is now held."""
        with self.connect(autocommit=True) as connection:
            query = "select pg_try_advisory_lock(hashtext('meta-ads'), hashtext(%s)) as free"
            row = connection.execute(query, [name]).fetchone()
            assert row is not None
            yield bool(row["free"])

    def started_at(self) -> datetime:
        """When the server started (UTC): another answer later means that it was restarted.

        Waits for a server that is restarting. Raises ``DatabaseError`` when it stays away.
        """
        row = self.run(
            lambda connection: connection.execute(
                "select pg_postmaster_start_time() as started_at"
            ).fetchone()
        )
        assert row is not None
        started_at: datetime = row["started_at"]
        return started_at

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

        Raises ``DatabaseError`` when the server cannot be reached or written to, a newer version
        has upgraded the database, or a migration fails; then nothing has changed.
        """
        from alembic import command

        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.check()
        with self.engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
            connection.commit()
            try:
                self._refuse_newer()
                config = alembic_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
            except SQLAlchemyError as error:
                reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
                raise DatabaseError(
                    f"{self.safe_url}: migrating its schemas control and raw failed and was undone:"
                    f" {reason}. If they hold what is not this project's, use another database"
                ) from error
            finally:
                connection.rollback()  # a failed statement would refuse the next one
                connection.execute(
                    text("select pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK}
                )
                connection.commit()

    def _refuse_newer(self) -> None:
        """Raises where this code does not know the schema; a warning before it is upgraded."""
        revision = schema_revision(self)
        if revision is None or revision == latest_revision():
            return
        if not knows_revision(revision):
            raise DatabaseError(
                f"{self.safe_url} was upgraded by a newer version of meta-ads (its schema is "
                f"{revision}, this version knows {latest_revision()}): install that version, or "
                "use another database"
            )
        with self.connect() as connection:
            row = connection.execute("select exists (select from control.slices) as used")
            if row.fetchone() == {"used": True}:
                logger.warning(
                    "upgrading the database from schema %s to %s. The way back is a backup made "
                    "with `meta-ads backup FILE` before",
                    revision,
                    latest_revision(),
                )

    def release(self, patience: float) -> None:
        """Leave the embedded server, if that is what it is; the last to leave stops it.

        ``patience``: seconds to wait for other processes that are ending, too.
        """
        self.dispose()
        if self._server is not None:
            self._server.release(patience)

    def dispose(self) -> None:
        """Close the pooled connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def is_lost(error: BaseException) -> bool:
    """Whether the server or the way to it failed, not the statement."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    # No SQLSTATE: libpq itself saw the connection end. 57P0x: shut down, crashed, starting up.
    return error.sqlstate is None or error.sqlstate.startswith(("57P0", "08"))


def _is_rolled_back(error: psycopg.Error) -> bool:
    """Whether the server chose this transaction to end, of two that cannot both go on.

    SQLSTATE class 40: deadlock, serialization failure. Nothing of it has happened.
    """
    return (error.sqlstate or "").startswith("40")


def alembic_config() -> Any:
    """Alembic's configuration, built in code: the package carries its migrations with it."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def has_relation(connection: Connection, name: str) -> bool:
    """Whether there is a table or view of that name, ``schema.name``."""
    row = connection.execute("select to_regclass(%s) is not null as found", [name]).fetchone()
    return row is not None and bool(row["found"])


def schema_revision(database: Database) -> str | None:
    """The revision of a database's schema; None before the first migration."""
    with database.connect() as connection:
        if not has_relation(connection, "control.schema_version"):
            return None
        row = connection.execute("select version_num from control.schema_version").fetchone()
    return None if row is None else str(row["version_num"])


def knows_revision(revision: str) -> bool:
    """Whether this code has the migration: it made the schema, or can upgrade it."""
    return any(script.revision == revision for script in _migrations().walk_revisions())


def latest_revision() -> str:
    """The revision that ``Database.migrate`` leads to."""
    head = _migrations().get_current_head()
    return str(head)


def _migrations() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(alembic_config())


def open_database(settings: Settings, *, migrate: bool = True) -> Database:
    """The database the settings name, started if it is the embedded one, migrated unless told not.

    Raises ``DatabaseError`` or ``EmbeddedPostgresError`` with what to do.
    """
    if settings.database_url is not None:
        database = Database(settings.database_url.get_secret_value())
    else:
        server = EmbeddedPostgres(settings.home)
        database = Database(server.start(), server=server)
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
    lag = get_settings().expected_lag_minutes
    os.environ["META_ADS_DBT_EXPECTED_LAG_MINUTES"] = str(lag)
    os.environ["META_ADS_DBT_SSLMODE"] = sslmode if isinstance(sslmode, str) else sslmode[0]

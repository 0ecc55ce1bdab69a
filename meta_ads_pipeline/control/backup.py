"""Backups of the whole database, around ``pg_dump`` and ``pg_restore``.

A backup is pg_dump's custom format: any ``pg_restore`` of that version or a later one reads it. It
holds everything but the keys that open stored tokens, which the database never sees.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from meta_ads_pipeline.control.database import (
    Database,
    has_relation,
    knows_revision,
    schema_revision,
)
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgresError, programs
from meta_ads_pipeline.control.row_security import SERVICE_ROLE, ensure_role
from meta_ads_pipeline.errors import MetaAdsError
from meta_ads_pipeline.redaction import redact

_OURS = (
    *("control", "raw", "partitions", "staging", "intermediate", "marts", "seeds", "serving"),
    "dagster",
)
_IN_USE = ("slices", "ad_accounts", "connections", "webhook_events")
"""Tables of ``control`` that are empty only where nothing was ever pulled or connected."""


class BackupError(MetaAdsError):
    """A backup could not be written or read, or may not be restored here; says what to do."""


def back_up(database: Database, file: Path) -> int:
    """Write a consistent backup, also while syncs are at work; its size in bytes.

    Raises ``BackupError`` where the file exists, cannot be written, or pg_dump fails; then there
    is no file of that name.
    """
    if file.exists():
        raise BackupError(f"{file} exists: choose another name, or remove it")
    part = file.with_name(f"{file.name}.part")
    try:
        _run(database, "pg_dump", "--format=custom", f"--file={part}", _target(database))
        part.replace(file)
    except OSError as error:
        raise BackupError(f"cannot write {file}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore(database: Database, file: Path) -> str:
    """Fill an empty database from a backup, all or nothing, and migrate it; its former revision.

    Raises ``BackupError`` where the database is in use, or the backup is newer than this version,
    is damaged or is none.
    """
    if not file.is_file():
        raise BackupError(f"there is no file {file}")
    revision = _revision_of(database, file)
    if not knows_revision(revision):
        raise BackupError(
            f"{file} was made by a newer version of meta-ads (its schema is {revision}): restore "
            "it with that version"
        )
    used = _in_use(database)
    if used:
        raise BackupError(
            f"{database.safe_url} holds data ({', '.join(used)}): a backup is restored into an "
            "empty database only. Let META_ADS_HOME or META_ADS_DATABASE_URL name another one"
        )
    with database.connect() as connection:
        # What starting any command has made. Public functions of ours depend on types in marts.
        for schema in _OURS:
            connection.execute(
                sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema))
            )
        ensure_role(connection, SERVICE_ROLE)  # policies in the backup name it
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-acl")
    _run(database, "pg_restore", *options, _target(database), str(file))
    database.migrate()
    return revision


def _revision_of(database: Database, file: Path) -> str:
    """The revision of the schema in a backup. Raises ``BackupError`` where it is none of ours."""
    said = _run(
        database,
        "pg_restore",
        *("--data-only", "--schema=control", "--table=schema_version", "--file=-"),
        str(file),
    )
    found = re.search(r"^COPY control\.schema_version .*\n(\S+)$", said, re.MULTILINE)
    if found is None:
        raise BackupError(f"{file} is no backup of meta-ads: it has no control.schema_version")
    return found[1]


def _in_use(database: Database) -> list[str]:
    if schema_revision(database) is None:
        return []
    with database.connect() as connection:
        counts = {
            table: connection.execute(
                sql.SQL("select count(*) as n from {}").format(sql.Identifier("control", table))
            ).fetchone()
            for table in _IN_USE
            if has_relation(connection, f"control.{table}")
        }
    return [f"{row['n']:,} {table}" for table, row in counts.items() if row and row["n"]]


def _run(database: Database, program: str, *arguments: str) -> str:
    """Run a client program of Postgres on this database; what it printed."""
    # A command line is for all of the machine to read.
    password = conninfo_to_dict(database.url).get("password")
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    try:
        done = subprocess.run(
            [str(_find(program, _server_major(database))), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise BackupError(f"cannot run {program}: {error.strerror}") from error
    if done.returncode:
        said = redact(done.stderr.decode(errors="replace").strip())
        raise BackupError(f"{program} failed: {said}")
    return done.stdout.decode(errors="replace")


def _target(database: Database) -> str:
    return f"--dbname={make_conninfo(database.url, password=None)}"


def _server_major(database: Database) -> int:
    with database.connect() as connection:
        return connection.info.server_version // 10_000


def _find(program: str, server: int) -> Path:
    """The program of the server's version, or the next later one: on PATH, or the wheel's.

    Later ones write what an older server does not understand. Raises ``BackupError`` on none.
    """
    found: dict[int, Path] = {}
    for path in _candidates(program):
        major = _major(path)
        if major is not None and major >= server:
            found.setdefault(major, path)
    if not found:
        raise BackupError(
            f"there is no {program} for PostgreSQL {server}: install its client programs "
            f"(postgresql-client-{server}) and have them on PATH"
        )
    return found[min(found)]


def _candidates(program: str) -> Sequence[Path]:
    on_path = shutil.which(program)
    candidates = [Path(on_path)] if on_path else []
    with suppress(EmbeddedPostgresError):  # not installed beside a server of one's own
        candidates.append(programs() / program)
    return candidates


def _major(path: Path) -> int | None:
    try:
        said = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\) (\d+)", said.stdout)
    return int(found[1]) if found else None

"""The doctor's checks of what the pipeline runs on: database, keys, Dagster, dbt, disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from meta_ads_pipeline.cli.doctor_findings import Finding, failed, passed, warned
from meta_ads_pipeline.control.database import (
    Database,
    DatabaseError,
    alembic_config,
    export_environment,
    has_relation,
    open_database,
)
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgresError
from meta_ads_pipeline.credentials.connection_tokens import read_token
from meta_ads_pipeline.credentials.connections import list_connections
from meta_ads_pipeline.credentials.vault import KEYS_VARIABLE, TokenVault, VaultError
from meta_ads_pipeline.redaction import redact
from meta_ads_pipeline.settings import PROJECT_ROOT, Settings, unknown_variables

_LITTLE_DISK, _NO_DISK = 5, 1  # GB free
_DBT_SECONDS = 120
_CLOCKS_APART = 5.0  # seconds; timestamps of the database and of the pipeline are compared


def examine_database(settings: Settings) -> tuple[Database | None, bool, list[Finding]]:
    """The database, if it answers; whether its schema is this version's; what was found."""
    what = "Start the server, or correct META_ADS_DATABASE_URL"
    try:
        database = open_database(settings, migrate=False)
        database.check()
        with database.connect() as connection:
            row = connection.execute(
                "select current_setting('server_version') as version, clock_timestamp() as now,"
                " to_regclass('control.schema_version') is not null as has_schema"
            ).fetchone()
            here = datetime.now(UTC)
            assert row is not None
            current = None
            if row["has_schema"]:
                found = connection.execute(
                    "select version_num from control.schema_version"
                ).fetchone()
                current = found["version_num"] if found else None
    except (DatabaseError, EmbeddedPostgresError) as error:
        return None, False, [failed("database", str(error), what)]
    findings = [passed("database", f"PostgreSQL {row['version']} at {database.safe_url}")]
    apart = abs((row["now"] - here).total_seconds())
    if apart > _CLOCKS_APART:
        findings.append(
            warned(
                "database clock",
                f"{apart:.0f} s apart from this machine's",
                "Synchronize both clocks (NTP)",
            )
        )
    script = ScriptDirectory.from_config(alembic_config())
    head = script.get_current_head()
    if current == head:
        findings.append(passed("migrations", f"current ({head})"))
    elif current is None or current in {each.revision for each in script.walk_revisions()}:
        was = "none applied yet" if current is None else f"{current} of {head} applied"
        findings.append(
            warned("migrations", was, "Nothing: the next meta-ads command applies them")
        )
    else:
        findings.append(
            failed(
                "migrations",
                f"the database is at {current}, which this version does not know",
                "Upgrade the pipeline to the version that wrote this database",
            )
        )
    return database, current == head, findings


def examine_settings() -> Iterable[Finding]:
    """Whether every variable that is set under our prefixes is a setting."""
    unknown = unknown_variables()
    for problem in unknown:
        yield warned("settings", problem, "Correct or remove it; .env.example has all settings")
    if not unknown:
        yield passed("settings", "every variable that is set is a setting")


def examine_keys(settings: Settings, database: Database | None) -> Iterable[Finding]:
    """Whether the stored tokens can be decrypted, and where the keys are."""
    vault = TokenVault.from_settings(settings)
    check = "encryption keys"
    try:
        count = vault.key_count()
        stored = [c for c in list_connections(database) if c.has_stored_token] if database else []
        for connection in stored:
            assert database is not None
            read_token(database, vault, connection.connection_id)
    except VaultError as error:
        yield failed(check, str(error), f"Put the right keys into {KEYS_VARIABLE}, newest first")
        return
    if vault.source is None:
        yield passed(check, "none yet; one is made when the first token is stored")
    elif vault.source == KEYS_VARIABLE:
        yield passed(check, f"{count} in {KEYS_VARIABLE}; {len(stored)} stored tokens decrypt")
    else:
        yield warned(
            check,
            f"{count} in {vault.source}; {len(stored)} stored tokens decrypt",
            f"For production put the key into {KEYS_VARIABLE} from a secret store; in any case "
            "keep a copy apart from the database's backups",
        )


def examine_dagster(database: Database | None) -> Iterable[Finding]:
    """Whether Dagster's storage is there and can be read through dagster.yaml."""
    import dagster as dg

    check = "dagster storage"
    if database is None:
        yield failed(check, "it is in the database, which does not answer", "See database")
        return
    with database.connect() as connection:
        is_made = has_relation(connection, "dagster.runs")
    if not is_made:
        yield warned(check, "not made yet", "Nothing: the first `meta-ads up` or `sync` makes it")
        return
    export_environment(database)
    with dg.DagsterInstance.from_config(str(PROJECT_ROOT)) as instance:
        yield passed(check, f"schema dagster, {instance.get_runs_count()} runs")


def examine_partitions(settings: Settings, database: Database | None) -> Iterable[Finding]:
    """Whether the partitions begin where the ad accounts do.

    Dates before an account was created read "missing" in Dagster's UI, though there is nothing to
    pull. Nothing is said before the first sync, nor where an account does not tell when it was
    created.
    """
    if database is None:
        return
    begin = date.fromisoformat(settings.history_start)
    with database.connect() as connection:
        rows = connection.execute(
            "select document ->> 'created_time' as created_time from raw.ad_accounts"
        ).fetchall()
    try:
        created = min(datetime.fromisoformat(row["created_time"]).date() for row in rows)
    except (TypeError, ValueError):
        return
    message = f"begin {begin}; the oldest ad account was created on {created}"
    if created > begin:
        yield warned(
            "partitions",
            message,
            f"META_ADS_HISTORY_START={created} leaves out dates that no account has, which the "
            "Dagster UI shows as missing",
        )
    else:
        yield passed("partitions", message)


def examine_dbt(database: Database | None) -> Iterable[Finding]:
    """Whether the dbt project parses and its profile connects."""
    if database is not None:
        export_environment(database)
    commands = {"dbt project": ["parse"]}
    if database is not None:
        commands["dbt connection"] = ["debug", "--connection"]
    with ThreadPoolExecutor(len(commands)) as pool:
        results = dict(zip(commands, pool.map(_dbt, commands.values()), strict=True))
    hidden = [make_url(database.url).password or ""] if database is not None else []
    for check, (code, output) in results.items():
        words = "parses" if check == "dbt project" else "the profile connects"
        if code == 0:
            yield passed(check, words)
        else:
            tail = " ".join(redact(output, map(str, hidden)).split())[-400:]
            yield failed(
                check, f"dbt says: {tail}", "Put right what dbt names, or run `make setup`"
            )


def _dbt(arguments: list[str]) -> tuple[int, str]:
    program = Path(sys.executable).parent / "dbt"
    project = str(PROJECT_ROOT / "dbt_project")
    with tempfile.TemporaryDirectory(prefix="meta-ads-doctor-") as scratch:
        command = [str(program), "--no-use-colors", *arguments]
        command += ["--project-dir", project, "--profiles-dir", project]
        # By the environment: not every dbt command has the options.
        apart = {"DBT_TARGET_PATH": scratch, "DBT_LOG_PATH": scratch}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=_DBT_SECONDS,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **apart},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return 1, f"{type(error).__name__}: {error}"
    return done.returncode, done.stdout + done.stderr


def examine_disk(settings: Settings) -> Iterable[Finding]:
    """Whether there is room where the embedded database, logs and Dagster's home are."""
    place = settings.home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    message = f"{free:.1f} GB free at {place}"
    what = "Make room, or let META_ADS_HOME point to another disk"
    if free < _NO_DISK:
        yield failed("disk", message, what)
    elif free < _LITTLE_DISK:
        yield warned("disk", message, what)
    else:
        yield passed("disk", message)

"""How long files under ``META_ADS_HOME`` are kept: logs of finished runs, and log files.

Artifacts of dbt are not here: the last few folders are kept, at each start of dbt
(``transform/dbt_cli.py``).
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

logger = logging.getLogger(__name__)

RUN_LOGS = Path("dagster", "storage")
"""Below home: a folder for each run, named by its id."""


def delete_orphaned_run_folders(home: Path, known: Collection[str], before: datetime) -> int:
    """Delete folders of runs that Dagster does not know (any more), last changed ``before``."""
    deleted = 0
    for folder in sorted((home / RUN_LOGS).glob("*")):
        if _is_run_id(folder.name) and folder.name not in known and folder.is_dir():
            if folder.stat().st_mtime >= before.timestamp():
                continue
            shutil.rmtree(folder, ignore_errors=True)
            deleted += not folder.exists()
    return deleted


def shorten_logs(home: Path, most_bytes: int) -> int:
    """Cut log files that are longer to the last half of ``most_bytes``; how many were.

    In place, because the programs that write them keep them open, and for appending: what is
    written during these milliseconds is lost.
    """
    shortened = 0
    for path in sorted([*home.glob("*.log"), *home.glob("postgres/*.log")]):
        size = path.stat().st_size
        if size <= most_bytes:
            continue
        with path.open("rb+") as file:
            file.seek(-(most_bytes // 2), 2)
            tail = file.read().partition(b"\n")[2]
            file.seek(0)
            file.truncate()
            file.write(tail)
        shortened += 1
    return shortened


def _is_run_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False

"""The dbt project as Dagster sees it, with a manifest that is always there and current."""

from __future__ import annotations

import fcntl
import hashlib
from functools import lru_cache

from meta_ads_pipeline.settings import PROJECT_ROOT, get_settings
from meta_ads_pipeline.transform.dbt_cli import dbt_cli
from meta_ads_pipeline.transform.without_dbt import DbtProject

DBT_PROJECT_DIR = PROJECT_ROOT / "dbt_project"
_SOURCES = ("*.sql", "*.yml", "*.csv")


@lru_cache(maxsize=1)
def dbt_project() -> DbtProject:
    """The project; parses it first (about 5 s) when its sources changed since the last parse."""
    project = DbtProject(project_dir=DBT_PROJECT_DIR, profiles_dir=DBT_PROJECT_DIR)
    digest = project_digest()
    target = project.manifest_path.parent
    target.mkdir(parents=True, exist_ok=True)
    stamp = target / "manifest.digest"
    with (target / "manifest.lock").open("a") as lock:
        # The webserver and the daemon load this at the same moment; one of them parses.
        fcntl.flock(lock, fcntl.LOCK_EX)
        current = stamp.read_text() if stamp.exists() and project.manifest_path.exists() else ""
        if current != digest:
            parse = dbt_cli(project).cli(["parse", "--quiet"], target_path=project.target_path)
            parse.wait()
            stamp.write_text(digest)
    return project


def project_digest() -> str:
    """A hash of the project's models, seeds, macros and configuration: which version it is.

    And of the one setting that is in a view.
    """
    directory = DBT_PROJECT_DIR
    digest = hashlib.sha256(str(get_settings().expected_lag_minutes).encode())
    target = directory / "target"
    for pattern in _SOURCES:
        for path in sorted(directory.rglob(pattern)):
            if not path.is_relative_to(target):
                digest.update(str(path.relative_to(directory)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()

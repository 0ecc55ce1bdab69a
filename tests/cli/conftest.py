"""Run `meta-ads` in this process, in an environment that points to a simulated Meta."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from meta_ads_pipeline.cli.app import run
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import get_settings
from tests.meta_app import APP_ID, APP_SECRET, PERSON, SYSTEM, MetaApp

MetaAds = Callable[..., tuple[int, str]]


@pytest.fixture
def environment(meta: MetaApp, database: Database) -> Iterator[dict[str, str]]:
    """The process's environment, as a person would set it; put back afterwards."""
    before = dict(os.environ)
    os.environ.update(
        {
            "META_ADS_DATABASE_URL": database.url,
            "META_ADS_HOME": str(meta.home),
            "META_GRAPH_URL": meta.server.url,
            "META_APP_ID": APP_ID,
            "META_APP_SECRET": APP_SECRET,
            "META_ADS_ENCRYPTION_KEYS": meta.key,
            "META_ACCESS_TOKEN": "",
            "COLUMNS": "200",
        }
    )
    get_settings.cache_clear()
    yield dict(os.environ)
    os.environ.clear()
    os.environ.update(before)
    get_settings.cache_clear()


@pytest.fixture
def meta_ads(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> MetaAds:
    """Run a command in this process: exit code, and all that was printed and logged."""

    def call(*arguments: str, stdin: str = "", tty: bool = False) -> tuple[int, str]:
        source = io.StringIO(stdin)
        monkeypatch.setattr(source, "isatty", lambda: tty, raising=False)
        monkeypatch.setattr(sys, "stdin", source)
        get_settings.cache_clear()
        root = logging.getLogger()
        handlers, level = [*root.handlers], root.level
        try:
            code = run(arguments)
        finally:  # the command's own logging ends with it
            root.handlers, root.level = handlers, level
        out, err = capfd.readouterr()
        said = f"{out}{err}{caplog.text}"
        for secret in (PERSON, SYSTEM, APP_SECRET):
            assert secret not in said
        return code, said if not out.startswith(("{", "[")) else out

    return call

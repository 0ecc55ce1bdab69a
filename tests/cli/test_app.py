"""The command line as a whole: help without imports, errors as their classes say."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from meta_ads_pipeline.cli import app as app_module
from meta_ads_pipeline.cli.app import COMMANDS, load_command, run
from meta_ads_pipeline.cli.interrupts import INTERRUPTED
from meta_ads_pipeline.errors import MetaAdsError


def test_help_imports_no_command_and_no_library_of_theirs() -> None:
    code = (
        "import sys; from meta_ads_pipeline.cli.app import run; run(['--help']);"
        "heavy = {'dagster', 'pandas', 'psycopg', 'pydantic', 'sqlalchemy', 'rich', 'requests'};"
        "print('imported:', sorted(heavy & set(sys.modules)),"
        " [m for m in sys.modules if m.startswith('meta_ads_pipeline.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f"  {name} " in done.stdout
    assert "imported: [] ['meta_ads_pipeline.cli.app']" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_command(name).help
    assert run([name, "--help"]) == 0
    assert f"Usage: meta-ads {name}" in capsys.readouterr().out


def test_a_mistyped_command_is_wrong_use_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["snyc"]) == 2
    assert "Did you mean 'sync'?" in capsys.readouterr().err


class _TwoProblemsError(MetaAdsError):
    exit_code = 7

    @property
    def lines(self) -> list[str]:
        return ["[bold]first[/] with access_token=EAAsecretsecretsecret1234", "second"]


@pytest.mark.parametrize(
    ("raised", "code", "printed"),
    [
        (_TwoProblemsError(), 7, ["error: [bold]first[/] with access_token=", "error: second"]),
        (KeyboardInterrupt(), 1, [INTERRUPTED]),
        (typer.Abort(), 1, [INTERRUPTED]),
    ],
)
def test_an_error_prints_its_own_lines_and_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    printed: list[str],
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise raised

    monkeypatch.setattr(app_module, "app", fail)
    assert run(["sync"]) == code
    said = capsys.readouterr().err
    assert [line for line in printed if line in said] == printed
    assert "secretsecret" not in said


def test_what_is_no_error_of_ours_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(app_module, "app", fail)
    with pytest.raises(ZeroDivisionError):
        run(["sync"])


def test_a_bad_setting_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from meta_ads_pipeline.settings import get_settings

    monkeypatch.setenv("META_GRAPH_URL", "graph.facebook.com")
    monkeypatch.setenv("META_API_VERSION", "26")
    get_settings.cache_clear()
    assert run(["doctor"]) == 2
    said = capsys.readouterr().err
    assert "error: META_GRAPH_URL: " in said
    assert "error: META_API_VERSION: " in said
    get_settings.cache_clear()

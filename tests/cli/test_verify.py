from __future__ import annotations

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from meta_ads_pipeline.cli.app import run
from meta_ads_pipeline.cli.verify import parse_tolerance
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.settings import get_settings
from tests.verify.export_marts import Marts, export

FIELDS = ("campaign_name", "campaign_id", "day", "spend", "impressions")


@pytest.fixture
def marts(database: Database, tmp_path: Path) -> Iterator[Marts]:
    environment = dict(os.environ)
    os.environ.update(META_ADS_DATABASE_URL=database.url, META_ADS_HOME=str(tmp_path / "home"))
    get_settings.cache_clear()
    marts = Marts(database)
    marts.build()
    yield marts
    os.environ.clear()
    os.environ.update(environment)
    get_settings.cache_clear()


def test_agreement_ends_with_0_and_one_line(
    marts: Marts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "export.csv"
    path.write_text(export(marts.rows("campaign"), FIELDS, totals="last"))
    assert run(["verify", "--csv", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == (
        "agrees: account 77, 2026-11-09 to 2026-11-11, by campaign and day: 12 values compared, "
        "12 equal, 0 within 5 %, 0 beyond; totals equal"
    )


def test_differences_end_with_1_and_are_shown(
    marts: Marts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = marts.rows("campaign")
    rows[0]["spend"] *= 2
    rows[1]["spend"] += 1
    rows.append({**rows[0], "campaign_id": "299", "campaign_name": "[bold]New"})
    path = tmp_path / "export.csv"
    path.write_text(export(rows, FIELDS))
    assert run(["verify", "--csv", str(path), "--account", "act_77"]) == 1
    output = capsys.readouterr().out
    assert output.splitlines()[0] == (
        "beyond: Herbst; Größe 42 (201), 2026-11-09, spend: file 16442.52, ours 8221.26 "
        "(-8221.26, 50 %)"
    )
    assert "Only in the file (1): [bold]New (299)" in output
    assert "DIFFERS: account 77" in output.splitlines()[-1]
    assert "1 within 5 %, 3 beyond" in output.splitlines()[-1]
    assert run(["verify", "--csv", str(path), "--tolerance", "1000%"]) == 1  # nothing excuses 299


def test_json_has_everything(
    marts: Marts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = marts.rows("campaign")
    rows[0]["spend"] *= 2
    path = tmp_path / "export.csv"
    path.write_text(export(rows, FIELDS) + "torn line\n")
    assert run(["verify", "--csv", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(path)
    assert not found["aligned"]
    assert found["bad_lines"] == [
        {"line": 8, "column": None, "reason": "1 cells, expected 5 as in the headings"}
    ]
    (difference,) = found["differences"]
    assert Decimal(difference["file_value"]) == rows[0]["spend"]
    assert Decimal(difference["our_value"]) == rows[0]["spend"] / 2
    assert Decimal(difference["relative"]) == Decimal("0.5")
    assert (found["compared"], found["equal"], found["beyond_tolerance"]) == (12, 11, 1)
    assert Decimal(found["totals"]["impressions"]["difference"]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04", "Excel workbook"),
        (b"Campaign name,Day\nA,2026-11-09\n", "no column to compare"),
        (b"Day,Amount spent (USD)\n2026-11-09,1.00\n", "the file is in USD, account 77 is in EUR"),
        (b"Day,Impressions\nsoon,1\n", "line 2, column 'Day': 'soon' is not a date"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_2(
    marts: Marts,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    assert run(["verify", "--csv", str(path)]) == 2
    told = capsys.readouterr().err
    assert "export.csv" in told
    assert message in " ".join(told.split())


def test_bad_usage_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "export.csv"
    path.write_text("Day,Impressions\n2026-11-09,1\n")
    assert run(["verify"]) == 2
    assert run(["verify", "--csv", str(tmp_path / "none.csv")]) == 2
    assert run(["verify", "--csv", str(path), "--tolerance", "0.05"]) == 2
    assert run(["verify", "--csv", str(path), "--account", "mine"]) == 2
    assert "'0.05' is not a percentage: expected one like 5%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "share"), [("5%", "0.05"), ("0.5 %", "0.005"), ("2,5%", "0.025"), ("0%", "0")]
)
def test_tolerances(text: str, share: str) -> None:
    assert parse_tolerance(text) == Decimal(share)

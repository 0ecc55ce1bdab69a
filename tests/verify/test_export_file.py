from __future__ import annotations

import codecs
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from meta_ads_pipeline.verify.export import AdsManagerFileError, Export
from meta_ads_pipeline.verify.export_file import read_export

Read = Callable[[str | bytes], Export]
HEADINGS = "Campaign name,Campaign ID,Day,Amount spent (EUR),Impressions\n"
ROW = "Autumn,201,2026-11-09,1234.56,1000\n"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes) -> Export:
        path = tmp_path / "export.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_export(path)

    return read


def test_a_plain_export(read: Read) -> None:
    export = read(HEADINGS + ROW)
    assert (export.level, export.measures, export.rows[0].currency) == (
        "campaign",
        ("spend", "impressions"),
        "EUR",
    )
    (row,) = export.rows
    assert (row.line, row.start, row.end) == (2, date(2026, 11, 9), date(2026, 11, 9))
    assert row.names == {"campaign_id": "201", "campaign_name": "Autumn"}
    assert row.values == {"spend": Decimal("1234.56"), "impressions": Decimal(1000)}
    assert not export.bad_lines


GERMAN = 'Kampagnenname;Tag;"Ausgegebener Betrag (EUR)";Käufe\nHerbst;09.11.2026;1.234,56;\n'
POLISH = "Nazwa kampanii;Dzień;Wydana kwota (PLN);Wyświetlenia\nŁódź;2026-11-09;1 234,56;10\n"
JAPANESE = "キャンペーン名,日,消化金額 (JPY),インプレッション\n秋,2026/11/09,1234,10\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (GERMAN.encode(), "Herbst"),
        (codecs.BOM_UTF8 + GERMAN.encode(), "Herbst"),
        (GERMAN.encode("utf-16"), "Herbst"),
        (codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"), "Herbst"),
        (GERMAN.replace(";", "\t").encode("utf-16-le"), "Herbst"),
        (GERMAN.encode("cp1252"), "Herbst"),
        (b"sep=;\r\n" + GERMAN.encode(), "Herbst"),
        (POLISH.encode("cp1250"), "Łódź"),
        (JAPANESE.encode("cp932"), "秋"),
        (JAPANESE.encode("utf-16"), "秋"),
    ],
)
def test_encodings(read: Read, content: bytes, name: str) -> None:
    export = read(content)
    assert [row.names["campaign_name"] for row in export.rows] == [name]
    assert export.rows[0].start == date(2026, 11, 9)
    assert len(export.measures) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_quoted_cells(read: Read, separator: str) -> None:
    cells = ['"A, ""B""; C\t|\nD"', "201", "2026-11-09", '"1,234.56"', '"1,000"']
    headings = HEADINGS.strip().split(",")
    export = read(separator.join(headings) + "\r\n" + separator.join(cells) + "\r\n")
    (row,) = export.rows
    assert row.names["campaign_name"] == 'A, "B"; C\t|\nD'
    assert row.values["spend"] == Decimal("1234.56")


def test_lines_above_the_headings_are_passed_over(read: Read) -> None:
    export = read("My report\nExported on 21 Nov 2026, 10:00\n\n" + HEADINGS + "\n" + ROW)
    assert [row.line for row in export.rows] == [6]


@pytest.mark.parametrize("totals_first", [True, False])
@pytest.mark.parametrize(
    "total",
    [
        ",,,1234.56,1000",
        "Total,,,1234.56,1000",
        "Gesamt,-,-,1234.56,1000",
        "Results from 12 campaigns,,,1234.56,1000",
        "Ergebnisse von 12 Kampagnen,,,1234.56,1000",
        "合計,,,1234.56,1000",
    ],
)
def test_the_totals_row_is_kept_apart(read: Read, total: str, totals_first: bool) -> None:
    lines = [total + "\n", ROW] if totals_first else [ROW, total + "\n"]
    export = read(HEADINGS + "".join(lines))
    assert [row.names["campaign_id"] for row in export.rows] == ["201"]
    assert export.totals == {"spend": Decimal("1234.56"), "impressions": Decimal(1000)}
    assert not export.bad_lines


def test_a_campaign_called_total_with_an_id_is_a_campaign(read: Read) -> None:
    export = read(HEADINGS + "Total,209,2026-11-09,5.00,10\n" + "🔥🔥,210,2026-11-09,5.00,10\n")
    assert [row.names["campaign_name"] for row in export.rows] == ["Total", "🔥🔥"]
    assert export.totals is None


def test_subtotals_per_campaign_are_left_out(read: Read) -> None:
    export = read(
        HEADINGS + ROW + "Autumn,201,All,1234.56,1000\n,,2026-11-09,1234.56,1000\n,,,1234.56,1000\n"
    )
    assert len(export.rows) == 1
    assert export.totals == {"spend": Decimal("1234.56"), "impressions": Decimal(1000)}


@pytest.mark.parametrize(
    ("headings", "cells", "level"),
    [
        ("Day", "2026-11-09", "account"),
        ("Account name,Day", "Acme,2026-11-09", "account"),
        ("Campaign name,Day", "A,2026-11-09", "campaign"),
        ("Campaign name,Ad set name,Day", "A,B,2026-11-09", "adset"),
        ("Campaign name,Ad set name,Ad ID,Day", "A,B,4,2026-11-09", "ad"),
        ("Campaign name,Ad set name,Ad name,Day", "A,B,,2026-11-09", "adset"),
    ],
)
def test_the_level_is_the_most_detailed_named(
    read: Read, headings: str, cells: str, level: str
) -> None:
    export = read(f"{headings},Impressions\n{cells},10\n")
    assert export.level == level
    assert len(export.rows) == 1


def test_without_a_day_the_reporting_period_counts(read: Read) -> None:
    export = read(
        "Campaign name,Reporting starts,Reporting ends,Impressions\n"
        "A,2026-11-09,2026-11-15,10\n,2026-11-09,2026-11-15,10\n"
    )
    assert [(row.start, row.end) for row in export.rows] == [
        (date(2026, 11, 9), date(2026, 11, 15))
    ]
    assert export.totals == {"impressions": Decimal(10)}


def test_an_account_total_without_dates_is_no_row(read: Read) -> None:
    export = read("Reporting starts,Reporting ends,Impressions\n2026-11-09,2026-11-15,10\n,,10\n")
    assert len(export.rows) == 1
    assert export.totals == {"impressions": Decimal(10)}


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("A,201,2026-11-09,12.5O,10", "Amount spent (EUR)", "'12.5O' is not a number: expected"),
        ("A,201,2026-13-09,12.50,10", "Day", "'2026-13-09' is not a date: expected"),
        ("A,201,2026-11-09,12.50,10.5", "Impressions", "expected a whole number"),
        ("A,201,2026-11-09,12.50", None, "4 cells, expected 5"),
        ("A,201,2026-11-09,12,50,10", None, "6 cells, expected 5"),
        ('"A"B,201,2026-11-09,12.50,10', None, "wrongly quoted"),
    ],
)
def test_one_bad_line_is_told_and_the_rest_is_read(
    read: Read, line: str, column: str | None, reason: str
) -> None:
    export = read(HEADINGS + ROW + line + "\n" + ROW.replace("201", "202"))
    assert [row.names["campaign_id"] for row in export.rows] == ["201", "202"]
    (bad,) = export.bad_lines
    assert (bad.line, bad.column) == (3, column)
    assert reason in bad.reason


def test_a_quote_left_open_is_told_with_its_line(read: Read) -> None:
    export = read(HEADINGS + ROW + '"A,202,2026-11-09,12.50,10\n' + ROW)
    assert len(export.rows) == 1
    assert [(bad.line, bad.reason) for bad in export.bad_lines] == [
        (3, "a quote that is never closed swallows the rest")
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\r\n", "the file is empty"),
        (b"PK\x03\x04rest", "Excel workbook: export again and choose .csv"),
        (b"\xd0\xcf\x11\xe0rest", "Excel workbook"),
        (b"\xff\xfeC\x00a", "cut or damaged"),
        (b"<html><body>Log in</body></html>", "expected names such as Campaign name, Day"),
        (b"Campaign name,Day\nA,2026-11-09\n", "no column to compare: expected at least one of"),
        (b"Kampagnenname;Impressionen\nA;1\n", "expected a column 'Tag'"),
        (b"Campaign name,Impressions,Reporting starts\nA,1,2026-11-09\n", "'Reporting ends'"),
        (HEADINGS.encode(), "no rows below the headings"),
        (HEADINGS.encode() + b",,,5.00,10\n", "no rows below the headings"),
        (
            HEADINGS.encode() + b"A,201,soon,5.00,10\n",
            "none of its 1 lines can be read; the first is line 2, column 'Day': 'soon'",
        ),
        (
            b"Day,Amount spent (EUR),Purchases conversion value (USD)\n2026-11-09,1.00,2.00\n",
            r"more than one currency: Amount spent \(EUR\), Purchases conversion value \(USD\)",
        ),
    ],
)
def test_files_that_cannot_be_used_say_what_was_expected(
    read: Read, content: bytes, message: str
) -> None:
    with pytest.raises(AdsManagerFileError, match=message):
        read(content)


def test_the_currency_may_stand_in_a_column(read: Read) -> None:
    assert read("Day,Divisa,Importe gastado\n2026-11-09,usd,1.00\n").rows[0].currency == "USD"
    assert read("Day,Amount spent\n2026-11-09,1.00\n").rows[0].currency is None


def test_columns_that_mean_nothing_here_are_named(read: Read) -> None:
    export = read("Day,Impressions,Reach,Results\n2026-11-09,1,1,1\n")
    assert export.not_compared == ("Reach",)
    assert export.columns["results"] == "Results"

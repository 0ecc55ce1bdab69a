"""Files that are not one line per object and day: totals, unknown columns, hours, accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meta_ads_pipeline.cli.verify import run_verify, summary
from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.verify.compare import Verification, accounts_of, compare
from meta_ads_pipeline.verify.export_file import read_export
from meta_ads_pipeline.verify.formats import DateFormat, parse_hour
from meta_ads_pipeline.verify.headings import identify, read_data
from tests.verify.export_marts import Marts, export

TOLERANCE = Decimal("0.05")
Verify = Callable[[str], Verification]


@pytest.fixture
def marts(database: Database) -> Marts:
    marts = Marts(database)
    marts.build()
    return marts


@pytest.fixture
def verify(marts: Marts, tmp_path: Path) -> Verify:
    def verify(content: str) -> Verification:
        path = tmp_path / "export.csv"
        path.write_text(content)
        found = read_export(path)
        (account,) = accounts_of(marts.database, found, None).synced
        return compare(marts.database, found, account, TOLERANCE)

    return verify


def objectives(marts: Marts, *, total: str | None, factor: int = 1) -> str:
    """Spend and impressions of the whole period by objective, which no mart is asked for."""
    sums: dict[str, list[Any]] = {}
    for row in marts.rows("campaign"):
        both = sums.setdefault(row["campaign_id"], [Decimal(0), 0])
        both[0] += row["spend"]
        both[1] += row["impressions"]
    names = {"201": "OUTCOME_SALES", "202": "OUTCOME_LEADS"}
    lines = [f"{names[key]},{spend},{count}" for key, (spend, count) in sums.items()]
    whole = f",{sum(v[0] for v in sums.values()) * factor},{sum(v[1] for v in sums.values())}"
    if total:
        lines.insert(0 if total == "first" else len(lines), whole)
    dates = ",2026-11-09,2026-11-11\n"
    return "Objective,Amount spent (EUR),Impressions,Reporting starts,Reporting ends\n" + "".join(
        line + dates for line in lines
    )


@pytest.mark.parametrize("total", [None, "first", "last"])
def test_a_total_line_without_a_name_column_is_no_part(
    marts: Marts, verify: Verify, total: str | None
) -> None:
    found = verify(objectives(marts, total=total))
    assert (found.compared, found.equal, found.aligned) == (2, 2, True)
    assert summary(found).startswith("agrees in sum: "), "no line was compared by itself"
    assert any("split by 'Objective'" in note for note in found.notes)


def test_a_line_that_may_be_total_or_part_is_no_agreement(marts: Marts, verify: Verify) -> None:
    found = verify(objectives(marts, total="first", factor=2))
    assert not found.aligned
    assert [bad.line for bad in found.bad_lines] == [2]
    assert "names nothing in 'Objective'" in found.bad_lines[0].reason


def test_subtotals_of_a_breakdown_are_no_parts(marts: Marts, verify: Verify) -> None:
    lines = ["Campaign ID,Region,Day,Impressions"]
    for row in marts.rows("campaign"):
        part = row["impressions"] // 4
        for region, value in (
            ("", row["impressions"]),
            ("Berlin", part),
            ("Bayern", row["impressions"] - part),
        ):
            lines.append(f"{row['campaign_id']},{region},{row['event_date']},{value}")
    found = verify("\n".join(lines))
    assert (found.aligned, found.differences) == (True, ())


def swapped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the numbers of ads 401 and 404 exchanged."""
    pairs = {"401": "404", "404": "401"}
    numbers = {(row["ad_id"], row["event_date"]): row for row in rows}
    return [
        {
            **numbers[pairs.get(row["ad_id"], row["ad_id"]), row["event_date"]],
            **{"ad_id": row["ad_id"], "ad_name": row["ad_name"]},
        }
        for row in rows
    ]


@pytest.mark.parametrize("heading", ["Ads", "Ad name", "Anzeigen", "Mainokset", "Creative"])
def test_swapped_ads_differ_whatever_their_column_is_called(
    marts: Marts, verify: Verify, heading: str
) -> None:
    with marts.database.connect() as connection:
        for number in range(401, 405):
            connection.execute(
                "update marts.dim_ads set name = %s where ad_id = %s",
                [f"ad {number}", str(number)],
            )
    marts.names.update({str(number): f"ad {number}" for number in range(401, 405)})
    fields = ("ad_name", "day", "spend", "impressions")

    def file(rows: list[dict[str, Any]]) -> str:
        return export(rows, fields).replace('"Ad name"', f'"{heading}"', 1)

    right = verify(file(marts.rows("ad")))
    assert (right.level, right.aligned, right.lines_summed) == ("ad", True, 0)
    assert summary(right).startswith("agrees: ")
    assert not verify(file(swapped(marts.rows("ad")))).aligned


@pytest.mark.parametrize("level", ["account", "campaign", "ad"])
def test_hours_are_compared_with_hours(marts: Marts, verify: Verify, level: str) -> None:
    marts.build_hours()
    names = () if level == "account" else (f"{level}_id",)
    fields = (*names, "day", "hour", "spend", "impressions", "clicks", "purchases")
    rows = marts.hours(level)
    found = verify(export(rows, fields))
    assert (found.by_hour, found.aligned) == (True, True), found.beyond
    assert found.measures == ("spend", "impressions", "clicks")
    assert any(
        "not compared: 'Purchases' (Meta has no conversions by hour)" in n for n in found.notes
    )
    assert "hour: " in summary(found)
    moved = [
        {**row, "hour": f"{(row['event_hour'] + 5) % 24:02}:00:00 - {row['event_hour']:02}:59:59"}
        for row in rows
    ]
    wrong = verify(export(moved, fields))
    assert not wrong.aligned
    assert {each.hour for each in wrong.beyond} == {9, 14, 20, 1}


def test_hours_over_a_period_are_summed_over_its_days(marts: Marts, verify: Verify) -> None:
    marts.build_hours()
    sums: dict[str, int] = {}
    for row in marts.hours("account"):
        sums[row["hour"]] = sums.get(row["hour"], 0) + row["impressions"]
    heading = "Time of day (ad account time zone),Impressions,Reporting starts,Reporting ends\n"
    lines = [f"{hour},{count},2026-11-09,2026-11-11\n" for hour, count in sums.items()]
    found = verify(heading + "".join(lines))
    assert (found.compared, found.aligned) == (2, True)
    assert not verify(heading + lines[0]).aligned, "an hour is missing in the file"


def test_conversions_that_a_breakdown_withholds_are_no_difference(
    marts: Marts, verify: Verify
) -> None:
    lines = ["Campaign ID,Region,Day,Impressions,Purchases,Leads"]
    for row in marts.rows("campaign"):
        part = row["impressions"] // 4
        for region, value in (("Berlin", part), ("Bayern", row["impressions"] - part)):
            lines.append(f"{row['campaign_id']},{region},{row['event_date']},{value},,")
    found = verify("\n".join(lines))
    assert found.aligned
    assert found.measures == ("impressions",)
    assert any("not compared: 'Purchases', 'Leads'" in note for note in found.notes)
    # Without a breakdown an empty column is a difference.
    plain = verify(
        export(
            [{**row, "purchases": None} for row in marts.rows("ad")], ("ad_id", "day", "purchases")
        )
    )
    assert not plain.aligned


def test_nothing_compared_is_no_agreement(marts: Marts, verify: Verify) -> None:
    text = export(marts.rows("ad"), ("ad_id", "day", "spend")).replace("2026-11", "2020-11")
    empty = "Ad ID,Day,Amount spent (EUR)\n401,2020-11-09,0\n"
    assert not verify(text).aligned
    found = verify(empty)
    assert (found.compared, found.aligned) == (0, False)
    assert summary(found).startswith("NOTHING COMPARED")


def test_all_accounts_of_a_file_are_compared(
    marts: Marts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Account("78", "America/New_York", "USD", "Other")
    rows: list[Mapping[str, Any]] = []
    with marts.database.connect() as connection:
        save_accounts(connection, [other])
        for row in marts.rows("account"):
            connection.execute(
                "insert into marts.account_daily (provider, account_id, event_date, currency,"
                " spend) values ('meta', '78', %s, 'USD', %s)",
                [row["event_date"], row["spend"] + 1],
            )
            rows += [{**row, "account_id": "77", "currency": "EUR"}]
            rows += [{**row, "account_id": "78", "currency": "USD", "spend": row["spend"] + 1}]
    path = tmp_path / "export.csv"
    fields = ("account_id", "day", "currency", "spend")

    def run(lines: list[Mapping[str, Any]], account: str | None = None) -> int:
        path.write_text(export(lines, fields, currency=None))
        return run_verify(marts.database, path, account=account, tolerance=TOLERANCE, as_json=False)

    assert run(rows) == 0
    said = capsys.readouterr().out
    assert "agrees: account 77" in said
    assert "agrees: account 78" in said
    rows[-1] = {**rows[-1], "spend": Decimal(1)}
    assert run(rows) == 1
    assert run(rows, "77") == 0
    rows[-1] = {**rows[-1], "account_id": "79"}
    capsys.readouterr()
    assert run(rows) == 1
    assert "not compared: account 79 is not synced here" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        *("14-Nov-26", "14 Nov 2026", "Nov 14, 2026", "Sat, 14 Nov 2026", "14. listopadu 2026"),
        *("2026년 11월 14일", "2026年11月14日", "14 Kas 2026", "14 พ.ย. 2569", "14/11/2569"),
        *("46340", "2026/11/14 (土)", "sam. 14 nov. 2026", "11-14-2026"),
    ],
)
def test_dates_as_spreadsheets_and_languages_write_them(text: str) -> None:
    assert DateFormat(day_first=True).parse(text).isoformat() == "2026-11-14"


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        *(("00:00:00 - 00:59:59", 0), ("12:00 AM - 12:59 AM", 0), ("2 PM", 14), ("14h - 15h", 14)),
        *(("14時", 14), ("9", 9), ("12:00 p.m.", 12)),
    ],
)
def test_hours_as_people_write_them(text: str, hour: int) -> None:
    assert parse_hour(text) == hour


@pytest.mark.parametrize("text", ["24:00", "afternoon", "", "25"])
def test_what_is_no_hour_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected one like 14:00:00"):
        parse_hour(text)


@pytest.mark.parametrize(
    ("headings", "language"),
    [
        ("Kampanya Adı,Gün,Gösterim,Harcanan Tutar (TRY)", "tr"),
        ("캠페인 이름,일,노출,지출 금액 (KRW)", "ko"),
        ("广告系列名称,报告开始日期,展示次数,点击量（全部）", "zh-CN"),
        ("ชื่อแคมเปญ,วัน,อิมเพรสชัน,จำนวนเงินที่ใช้จ่ายไป (THB)", "th"),
    ],
)
def test_headings_of_more_languages(headings: str, language: str) -> None:
    columns = [identify(heading) for heading in headings.split(",")]
    assert all(column.field for column in columns), columns
    assert all(language in column.languages for column in columns)


def test_headings_are_data_in_every_language_with_the_fields_of_english() -> None:
    data = read_data("headings.toml")
    assert all(fields.keys() <= data["en"].keys() for fields in data.values())
    needed = {"campaign_name", "day", "starts", "ends", "spend", "impressions"}
    assert all(needed <= fields.keys() for fields in data.values())

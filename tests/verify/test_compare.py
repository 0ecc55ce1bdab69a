from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from meta_ads_pipeline.control.accounts import Account, UnknownAccountError, save_accounts
from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.verify.compare import Accounts, Verification, accounts_of, compare
from meta_ads_pipeline.verify.export import AdsManagerFileError, Export
from meta_ads_pipeline.verify.export_file import read_export
from meta_ads_pipeline.verify.headings import MEASURES, languages
from tests.verify.export_marts import ACCOUNT, FIRST, Marts, export

FIVE_PERCENT = Decimal("0.05")
BY_ID = ("campaign_name", "campaign_id", "day", *MEASURES)
BY_NAME = ("campaign_name", "day", *MEASURES)


@pytest.fixture
def marts(database: Database) -> Marts:
    return Marts(database)


@pytest.fixture
def verify(marts: Marts, tmp_path: Path) -> Callable[..., Verification]:
    def verify(content: str | bytes, tolerance: Decimal = FIVE_PERCENT) -> Verification:
        found = read(content, tmp_path)
        (account,) = accounts_of(marts.database, found, None).synced
        return compare(marts.database, found, account, tolerance)

    return verify


def read(content: str | bytes, folder: Path) -> Export:
    path = folder / "export.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_export(path)


Verify = Callable[..., Verification]

# Separator, decimal sign, grouping and dates as they are usual where the language is spoken.
LOCALES = {
    "en": (",", ".", ",", "%m/%d/%Y"),
    "de": (";", ",", ".", "%d.%m.%Y"),
    "fr": (";", ",", "\u202f", "%d/%m/%Y"),
    "es": (";", ",", ".", "%d/%m/%Y"),
    "it": (";", ",", ".", "%d/%m/%Y"),
    "pt": (";", ",", ".", "%d/%m/%Y"),
    "nl": (";", ",", ".", "%d-%m-%Y"),
    "pl": (";", ",", "\u00a0", "%d.%m.%Y"),
    "cs": (";", ",", "\u00a0", "%d. %m. %Y"),
    "ja": (",", ".", ",", "%Y/%m/%d"),
    "tr": (";", ",", ".", "%d.%m.%Y"),
    "ko": (",", ".", ",", "%Y. %m. %d."),
    "zh-CN": (",", ".", ",", "%Y/%m/%d"),
    "zh-TW": (",", ".", ",", "%Y/%m/%d"),
    "th": (",", ".", ",", "%d/%m/%Y"),
    "sv": (";", ",", "\u00a0", "%Y-%m-%d"),
    "ru": (";", ",", "\u00a0", "%d.%m.%Y"),
    "id": (";", ",", ".", "%d/%m/%Y"),
    "vi": (";", ",", ".", "%d/%m/%Y"),
}


@pytest.mark.parametrize("language", languages())
def test_the_same_numbers_agree_in_every_locale(
    marts: Marts, verify: Verify, language: str
) -> None:
    marts.build()
    separator, decimal, grouping, day = LOCALES[language]
    text = export(
        marts.rows("campaign"),
        BY_ID,
        language=language,
        separator=separator,
        decimal=decimal,
        grouping=grouping,
        day=day,
        totals="last",
    )
    found = verify(text.encode("utf-16" if language in ("de", "ja") else "utf-8-sig"))
    assert found.aligned
    assert not found.differences
    assert found.equal == found.compared == 2 * 3 * len(MEASURES)
    assert (found.start, found.end) == (FIRST, FIRST + timedelta(days=2))
    assert all(total.difference == 0 for total in found.totals.values())


@pytest.mark.parametrize(
    ("level", "fields", "matched_by"),
    [
        ("account", ("day",), ()),
        ("campaign", ("campaign_id", "day"), ("campaign_id",)),
        ("campaign", ("campaign_name", "day"), ("campaign_name",)),
        ("adset", ("adset_id", "day"), ("adset_id",)),
        ("adset", ("campaign_name", "adset_name", "day"), ("campaign_name", "adset_name")),
        ("adset", ("campaign_id", "adset_name", "day"), ("campaign_id", "adset_name")),
        ("ad", ("ad_id", "ad_name", "day"), ("ad_id",)),
        (
            "ad",
            ("campaign_name", "adset_name", "ad_name", "day"),
            ("campaign_name", "adset_name", "ad_name"),
        ),
    ],
)
def test_every_level_agrees(
    marts: Marts, verify: Verify, level: str, fields: tuple[str, ...], matched_by: tuple[str, ...]
) -> None:
    marts.build()
    found = verify(export(marts.rows(level), (*fields, *MEASURES), totals="first"))
    assert (found.level, found.matched_by, found.by_day) == (level, matched_by, True)
    assert found.aligned
    assert found.compared > 0
    assert not found.differences


def test_a_planted_difference_is_found_where_it_is(marts: Marts, verify: Verify) -> None:
    marts.build()
    rows = marts.rows("campaign")
    rows[2]["impressions"] = rows[2]["impressions"] * 2
    found = verify(export(rows, BY_ID))
    (difference,) = found.differences
    assert (difference.object_id, difference.object_name) == ("201", "Herbst; Größe 42")
    assert (difference.start, difference.measure) == (rows[2]["event_date"], "impressions")
    assert difference.file_value == rows[2]["impressions"]
    assert difference.our_value == rows[2]["impressions"] // 2
    assert difference.difference == -(rows[2]["impressions"] // 2)
    assert difference.relative == Decimal("0.5")
    assert difference.only_in is None
    assert found.beyond == (difference,)
    assert not found.aligned


@pytest.mark.parametrize(
    ("ours", "within"),
    [(950, True), (949, False), (1050, True), (1051, False), (999, True)],
)
def test_tolerance_is_a_share_of_the_file_and_its_edge_passes(
    marts: Marts, verify: Verify, ours: int, within: bool
) -> None:
    marts.days[0].values["clicks"] = ours
    marts.build()
    rows = marts.rows("ad")
    rows[0]["clicks"] = 1000
    found = verify(export(rows, ("ad_id", "day", "clicks")))
    (difference,) = found.differences
    assert difference.within_tolerance is within
    assert found.aligned is within


@pytest.mark.parametrize(
    ("cents", "tolerance", "differences"), [(1, "0", 0), (2, "0", 1), (2, "0.05", 1)]
)
def test_amounts_within_a_cent_are_equal(
    marts: Marts, verify: Verify, cents: int, tolerance: str, differences: int
) -> None:
    marts.build()
    rows = marts.rows("ad")
    rows[0]["spend"] += Decimal(cents) / 100
    found = verify(export(rows, ("ad_id", "day", "spend")), Decimal(tolerance))
    assert len(found.differences) == differences
    assert found.aligned is (differences == 0 or tolerance != "0")


def test_something_against_nothing_is_beyond_any_tolerance(marts: Marts, verify: Verify) -> None:
    marts.days[0].values["leads"] = None
    marts.build()
    rows = marts.rows("ad")
    rows[0]["leads"] = 1
    rows[11]["leads"] = None
    found = verify(export(rows, ("ad_id", "day", "leads")), Decimal(9))
    assert {(each.file_value, each.our_value) for each in found.beyond} >= {(None, Decimal(3))}
    assert len(found.beyond) == len(found.differences) == 2
    assert [each.relative for each in found.differences].count(None) == 1


def test_conversions_are_compared_only_where_the_file_has_them(
    marts: Marts, verify: Verify
) -> None:
    marts.build()
    found = verify(export(marts.rows("campaign"), ("campaign_id", "day", "spend")))
    assert found.measures == ("spend",)
    assert found.aligned


def test_objects_and_days_on_one_side_only(marts: Marts, verify: Verify) -> None:
    marts.build()
    rows = marts.rows("campaign")
    gone = [row for row in rows if row["campaign_id"] == "201"]
    gone.pop(1)  # a day that the file lacks
    gone.append({**gone[0], "campaign_id": "299", "campaign_name": "Unknown"})
    gone.append({**dict.fromkeys(gone[0], None), "event_date": FIRST, "campaign_id": "298"})
    found = verify(export(gone, ("campaign_id", "campaign_name", "day", "spend")))
    assert found.only_in_file == ("Unknown (299)",)
    assert found.only_in_marts == ('Sale "Now" (202)',)
    missing_day = [each for each in found.differences if each.object_id == "201"]
    assert [(each.start, each.only_in) for each in missing_day] == [
        (FIRST + timedelta(days=1), "marts")
    ]
    assert not any(each.object_id == "298" for each in found.differences)  # no activity: no news
    assert not found.aligned


def test_without_days_the_whole_period_is_compared(marts: Marts, verify: Verify) -> None:
    marts.build()
    summed: dict[str, dict[str, object]] = {}
    for row in marts.rows("campaign"):
        total = summed.setdefault(
            row["campaign_id"],
            {**row, "start": FIRST, "end": FIRST + timedelta(days=2), "spend": Decimal(0)},
        )
        total["spend"] += row["spend"]
    fields = ("campaign_name", "starts", "ends", "spend")
    found = verify(export(list(summed.values()), fields))
    assert (found.by_day, found.compared, found.aligned) == (False, 2, True)
    summed["202"]["spend"] = Decimal(1)
    (difference,) = verify(export(list(summed.values()), fields)).differences
    assert (difference.start, difference.end) == (FIRST, FIRST + timedelta(days=2))


def test_breakdown_rows_are_summed(marts: Marts, verify: Verify) -> None:
    marts.build()
    rows = []
    for row in marts.rows("campaign"):
        part = row["impressions"] // 3
        rows += [{**row, "impressions": part}, {**row, "impressions": row["impressions"] - part}]
    found = verify(export(rows, ("campaign_id", "day", "impressions")))
    assert found.aligned
    assert not found.differences
    assert any("6 lines repeat an object and period" in note for note in found.notes)


def test_ambiguous_names_are_summed_on_both_sides_and_said(marts: Marts, verify: Verify) -> None:
    marts.build()
    found = verify(export(marts.rows("ad"), ("ad_name", "day", *MEASURES)))
    assert found.aligned
    assert found.compared == 2 * 3 * len(MEASURES)
    assert any("3 ads are named 'Video': summed by name" in note for note in found.notes)
    rows = marts.rows("ad")
    rows[0]["clicks"] = 1
    (difference,) = verify(export(rows, ("ad_name", "day", "clicks"))).differences
    assert (difference.object_id, difference.object_name) == (None, "Video")


def test_names_match_whatever_their_spaces_and_composition(marts: Marts, verify: Verify) -> None:
    marts.names["201"] = "Gro\u0308ße  42 "
    marts.build()
    rows = marts.rows("campaign")
    for row in rows:
        row["campaign_name"] = row["campaign_name"].replace("Gro\u0308ße  42 ", "Größe\u00a042")
    assert verify(export(rows, BY_NAME)).aligned


def test_ids_that_a_spreadsheet_rounded_give_way_to_names(marts: Marts, verify: Verify) -> None:
    marts.build()
    rows = [{**row, "campaign_id": "1.2E+17"} for row in marts.rows("campaign")]
    found = verify(export(rows, BY_ID))
    assert found.aligned
    assert found.matched_by == ("campaign_name",)
    assert any("'1.2E+17' (line 2, column 'Campaign ID') is no id" in each for each in found.notes)
    with pytest.raises(AdsManagerFileError, match=r"line 2 cannot be matched.*'Campaign ID'"):
        verify(export(rows, ("campaign_id", "day", "spend")))


def test_ids_of_bulk_exports_have_a_prefix(marts: Marts, verify: Verify) -> None:
    marts.build()
    rows = [{**row, "campaign_id": f"c:{row['campaign_id']}"} for row in marts.rows("campaign")]
    assert verify(export(rows, BY_ID)).aligned


def test_a_bad_line_is_reported_and_the_rest_compared(marts: Marts, verify: Verify) -> None:
    marts.build()
    text = export(marts.rows("campaign"), BY_ID)
    lines = text.splitlines(keepends=True)
    lines[2] = lines[2].replace("2026-11-09", "2026-11-99")
    found = verify("".join(lines))
    assert [(bad.line, bad.column) for bad in found.bad_lines] == [(3, "Day")]
    assert found.compared == 2 * 3 * len(MEASURES)
    assert {each.only_in for each in found.differences} == {"marts"}
    assert not found.aligned
    assert not verify(text + "oops\r\n").aligned


def test_totals_that_do_not_fit_the_lines_are_noted(marts: Marts, verify: Verify) -> None:
    marts.build()
    fitting = verify(export(marts.rows("campaign"), BY_ID, totals="first"))
    assert not any("own total" in note for note in fitting.notes)
    lines = export(marts.rows("campaign"), BY_ID, totals="first").splitlines(keepends=True)
    cut = verify("".join(lines[:-1]))
    assert any("own total of 'Impressions'" in note for note in cut.notes)


def test_the_currency_must_be_the_accounts(marts: Marts, verify: Verify) -> None:
    marts.build()
    with pytest.raises(AdsManagerFileError, match="the file is in USD, account 77 is in EUR"):
        verify(export(marts.rows("campaign"), BY_ID, currency="USD"))
    found = verify(export(marts.rows("campaign"), BY_ID, currency=None))
    assert found.aligned
    assert any("names no currency: taken to be in EUR" in note for note in found.notes)


def test_results_are_said_not_to_be_compared(marts: Marts, verify: Verify) -> None:
    marts.build()
    found = verify(export(marts.rows("campaign"), (*BY_ID, "results")))
    assert any("'Results' is not compared" in note for note in found.notes)


def test_days_that_are_not_synced_are_named(marts: Marts, verify: Verify) -> None:
    marts.build()
    with marts.database.connect() as connection:
        connection.execute(
            "insert into control.slices (account_id, partition_date, asset, status)"
            " values ('77', %s, 'insights_daily', 'done')",
            [FIRST],
        )
    found = verify(export(marts.rows("campaign"), BY_ID))
    expected = "2 days are not synced: meta-ads sync --start 2026-11-10 --end 2026-11-11 --account"
    assert any(expected in note for note in found.notes)


def test_other_providers_and_accounts_are_not_counted(marts: Marts, verify: Verify) -> None:
    marts.build()
    with marts.database.connect() as connection:
        for provider, account in (("crm", "77"), ("meta", "78")):
            connection.execute(
                "insert into marts.account_daily (provider, account_id, event_date, currency,"
                " spend) values (%s, %s, %s, 'EUR', 1000000)",
                [provider, account, FIRST],
            )
    assert verify(export(marts.rows("account"), ("day", "spend"))).aligned


def test_without_marts_the_message_says_what_to_run(
    database: Database, verify: Verify, marts: Marts
) -> None:
    with database.connect() as connection:
        save_accounts(connection, [ACCOUNT])
    with pytest.raises(DatabaseError, match=r"run meta-ads sync --start 2026-11-09"):
        verify(export(marts.rows("campaign"), BY_ID))


def test_which_account_the_file_is_of(marts: Marts, tmp_path: Path) -> None:
    marts.build()
    rows = marts.rows("account")
    plain = read(export(rows, ("day", "spend")), tmp_path)
    assert accounts_of(marts.database, plain, None) == Accounts((ACCOUNT,))
    other = Account("78", "Europe/Berlin", "EUR", "Other")
    with marts.database.connect() as connection:
        save_accounts(connection, [other])
    with pytest.raises(AdsManagerFileError, match=r"--account, one of Acme Schuhe \(77\), Other"):
        accounts_of(marts.database, plain, None)
    assert accounts_of(marts.database, plain, "78") == Accounts((other,))
    in_dollars = read(export(rows, ("day", "spend"), currency="USD"), tmp_path)
    with pytest.raises(AdsManagerFileError, match="which account is the file of"):
        accounts_of(marts.database, in_dollars, None)
    american = Account("80", "America/New_York", "USD", "American")
    with marts.database.connect() as connection:
        save_accounts(connection, [american])
    assert accounts_of(marts.database, in_dollars, None) == Accounts((american,))
    with pytest.raises(UnknownAccountError):
        accounts_of(marts.database, plain, "79")

    named = read(export(rows, ("account_name", "day", "spend")), tmp_path)
    assert accounts_of(marts.database, named, None) == Accounts((ACCOUNT,))

    with_id = [{**row, "account_id": "78"} for row in rows]
    by_id = read(export(with_id, ("account_id", "day", "spend")), tmp_path)
    assert accounts_of(marts.database, by_id, None) == Accounts((other,))
    with pytest.raises(AdsManagerFileError, match="'Account ID' says 78, but --account is 77"):
        accounts_of(marts.database, by_id, "77")
    strange = [replace(row, names={"account_id": "5"}) for row in by_id.rows]
    with pytest.raises(AdsManagerFileError, match="says 5, which is not synced here"):
        accounts_of(marts.database, replace(by_id, rows=tuple(strange)), None)


def test_every_account_in_a_file_is_told_apart(marts: Marts, tmp_path: Path) -> None:
    marts.build()
    other = Account("78", "Europe/Berlin", "EUR", "Other")
    with marts.database.connect() as connection:
        save_accounts(connection, [other])
    numbers = (77, 78, 79)
    rows = [{**row, "account_id": number} for row in marts.rows("account") for number in numbers]
    export_of_all = read(export(rows, ("account_id", "day", "spend")), tmp_path)
    assert accounts_of(marts.database, export_of_all, None) == Accounts((ACCOUNT, other), ("79",))
    found = compare(marts.database, export_of_all, ACCOUNT, FIVE_PERCENT)
    assert found.aligned
    assert any("6 lines are of other accounts" in note for note in found.notes)
    assert not compare(marts.database, export_of_all, other, FIVE_PERCENT).aligned

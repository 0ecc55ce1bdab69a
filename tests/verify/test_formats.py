from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.verify.formats import (
    DateFormat,
    NumberFormat,
    detect_date_format,
    detect_number_format,
)
from meta_ads_pipeline.verify.headings import fold, headings_of, identify, languages

LOCALES = [
    (".", ","),
    (",", "."),
    (",", " "),
    (",", "\u00a0"),
    (",", "\u202f"),
    (".", "'"),
    (".", "’"),
    (".", ""),
    (",", ""),
]
amounts = st.decimals(min_value=0, max_value=10**12, places=2)
days = st.dates(min_value=date(2005, 1, 1), max_value=date(2099, 12, 31))


def written(value: Decimal | int, decimal: str, grouping: str) -> str:
    return f"{value:,}".replace(",", "\0").replace(".", decimal).replace("\0", grouping)


@pytest.mark.parametrize(("decimal", "grouping"), LOCALES)
@given(value=amounts, sign=st.sampled_from(["", "-", "−"]))
def test_numbers_come_back(decimal: str, grouping: str, value: Decimal, sign: str) -> None:
    text = sign + written(value, decimal, grouping)
    assert NumberFormat(decimal).parse(text) == (-value if sign else value)


@pytest.mark.parametrize(("decimal", "grouping"), LOCALES)
@given(
    values=st.lists(amounts, min_size=1, max_size=8),
    counts=st.lists(st.integers(0, 10**9), max_size=8),
    language=st.sampled_from(languages()),
)
def test_a_file_with_cents_proves_its_format_in_any_language(
    decimal: str, grouping: str, values: list[Decimal], counts: list[int], language: str
) -> None:
    cells = [written(value, decimal, grouping) for value in values]
    whole = [written(count, decimal, grouping) for count in counts]
    found = detect_number_format(cells, whole, language=language)
    assert [found.parse(cell) for cell in cells] == values
    assert [found.parse(cell) for cell in whole] == counts


@given(value=st.integers(1_00_000, 10**11))
def test_indian_grouping_comes_back(value: int) -> None:
    head, tail = str(value)[:-3], str(value)[-3:]
    groups = []
    while head:
        head, group = head[:-2], head[-2:]
        groups.insert(0, group)
    assert NumberFormat(".").parse(",".join([*groups, tail]) + ".50") == value + Decimal("0.5")


@pytest.mark.parametrize(
    ("amount_cells", "count_cells", "language", "decimal"),
    [
        (["1.234"], [], "de", ","),
        (["1.234"], [], "en", "."),
        (["1,234"], [], "en", "."),
        (["1.234"], ["5.678"], "en", ","),  # impressions are whole, so points group
        (["1.234"], ["5,678"], "de", "."),
        (["0.125"], [], "de", "."),  # no number begins with a group of 0
        (["12.5"], [], "de", "."),
        (["1.234.567"], [], "en", ","),
        (["1,234.567"], [], "de", "."),
        (["€ 7,30"], [], "en", ","),
        ([], [], "ja", "."),
    ],
)
def test_what_decides_the_decimal_sign(
    amount_cells: list[str], count_cells: list[str], language: str, decimal: str
) -> None:
    found = detect_number_format(amount_cells, count_cells, language=language)
    assert found.decimal == decimal


@pytest.mark.parametrize("empty", ["", " ", "-", "—", "--", "N/A", "\u00a0"])
def test_empty_is_no_number_and_not_zero(empty: str) -> None:
    assert NumberFormat(".").parse(empty) is None


@pytest.mark.parametrize(
    "text", ["1 234,56 €", "€1.234,56", "EUR 1.234,56", "1234,56 zł", "1'234,56 CHF", "R$ 1.234,56"]
)
def test_currency_signs_are_ignored(text: str) -> None:
    assert NumberFormat(",").parse(text) == Decimal("1234.56")


@pytest.mark.parametrize(
    "text", ["12,34", "1,2345", "1.2.3", "twelve", "12 apples", "(12.00)", "1e5", "12%", "1,23,4"]
)
def test_what_is_no_number_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number: expected one like 1,234\.56"):
        NumberFormat(".").parse(text)


@given(day=days)
@pytest.mark.parametrize(
    "pattern", ["%Y-%m-%d", "%Y/%m/%d", "%Y年%m月%d日", "%d.%m.%Y", "%d. %m. %Y", "%d-%m-%Y"]
)
@pytest.mark.parametrize("day_first", [True, False])
def test_dates_with_one_meaning_come_back(pattern: str, day_first: bool, day: date) -> None:
    assert DateFormat(day_first).parse(day.strftime(pattern)) == day


@given(day=days)
def test_slashes_follow_the_order_of_the_file(day: date) -> None:
    assert DateFormat(day_first=True).parse(day.strftime("%d/%m/%Y")) == day
    assert DateFormat(day_first=False).parse(day.strftime("%m/%d/%Y")) == day


@given(first=days, count=st.integers(13, 60), language=st.sampled_from(languages()))
@pytest.mark.parametrize("pattern", ["%d/%m/%Y", "%m/%d/%Y"])
def test_two_weeks_of_dates_prove_their_order(
    pattern: str, first: date, count: int, language: str
) -> None:
    dates = [first + timedelta(days=number) for number in range(count)]
    cells = [day.strftime(pattern) for day in dates]
    found = detect_date_format(cells, language=language)
    assert [found.parse(cell) for cell in cells] == dates


def test_order_of_few_dates_is_the_one_that_keeps_them_together() -> None:
    cells = ["09/11/2026", "10/11/2026", "11/11/2026"]
    assert detect_date_format(cells, language="en").day_first
    assert not detect_date_format(["11/09/2026", "11/10/2026"], language="de").day_first
    assert not detect_date_format(["09/11/2026"], language="en").day_first
    assert detect_date_format(["09/11/2026"], language="fr").day_first


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("Nov 20, 2026", 11),
        ("20 November 2026", 11),
        ("20. Mai 2026", 5),
        ("20. März 2026", 3),
        ("20 de mayo de 2026", 5),
        ("20 janv. 2026", 1),
        ("20 juin 2026", 6),
        ("20 juillet 2026", 7),
        ("20 août 2026", 8),
        ("20 giugno 2026", 6),
        ("20 out. 2026", 10),
        ("20 mrt 2026", 3),
        ("20 paź 2026", 10),
        ("20 listopada 2026", 11),
        ("20. června 2026", 6),
        ("20. července 2026", 7),
        ("20. září 2026", 9),
    ],
)
def test_months_by_name(text: str, month: int) -> None:
    assert DateFormat(day_first=True).parse(text) == date(2026, month, 20)


@pytest.mark.parametrize("text", ["2026-13-40", "31/02/2026", "yesterday", "20 Foo 2026", ""])
def test_what_is_no_date_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date: expected one like 2026-11-20"):
        DateFormat(day_first=True).parse(text)


@pytest.mark.parametrize("language", languages())
def test_every_heading_is_known_with_its_currency(language: str) -> None:
    for field, heading in headings_of(language).items():
        column = identify(f"  {heading.upper()} (CHF) ")
        assert (column.field, column.currency) == (field, "CHF")


def test_headings_of_other_metrics_are_not_taken_for_ours() -> None:
    for heading in (
        *(
            "Cost per purchase (EUR)",
            "CTR (all)",
            "Clicks",
            "Website purchases",
            "Unique link clicks",
        ),
        *("Ad set budget", "Campaign delivery", "Kosten pro Ergebnis (EUR)", ""),
    ):
        assert identify(heading).field is None, heading


def test_width_and_case_do_not_matter() -> None:
    assert identify("クリック（すべて）").field == "clicks"
    assert identify("消化金額(JPY)").currency == "JPY"
    assert fold("Montant Dépensé") == fold("montant depense")

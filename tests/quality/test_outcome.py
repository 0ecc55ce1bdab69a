"""How findings are told: dates as ranges, tables without empty columns, results per account-day."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.quality.outcome import CheckOutcome, Finding, day_ranges, table_of
from tests.quality.landing import DAYS, FIRST_DAY


@given(st.sets(st.integers(0, 40), max_size=25))
def test_day_ranges_name_exactly_the_days(offsets: set[int]):
    said = day_ranges((FIRST_DAY + timedelta(days=n) for n in offsets), limit=100)
    named = set()
    for part in said.split(", ") if offsets else []:
        first, _, last = part.partition("..")
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
        named |= set(range((start - FIRST_DAY).days, (end - FIRST_DAY).days + 1))
    assert named == offsets


def test_a_table_leaves_out_columns_that_are_empty_in_every_row():
    table = table_of([{"a": 1, "b": None, "c": ""}, {"a": 20000, "b": "", "c": "said"}])
    assert [record.data for record in table.records] == [
        {"a": "1", "c": ""},
        {"a": "20,000", "c": "said"},
    ]
    assert table_of([]).value == "none"


def test_many_ranges_are_cut_short():
    days = [FIRST_DAY + timedelta(days=2 * n) for n in range(40)]
    assert day_ranges(days, limit=2) == "2026-03-02, 2026-03-04 and 38 more"


def test_an_account_day_is_as_bad_as_its_worst_finding():
    findings = [
        Finding("1", DAYS[0], "yellow", True, 7),
        Finding("1", DAYS[0], "red", False, 2, observed="seen", message="it is red"),
        Finding("1", DAYS[1], "yellow", True, 1),
    ]
    outcome = CheckOutcome([("1", day) for day in DAYS], findings)
    red, yellow, green = outcome.days
    assert (red.status, red.violations, red.observed) == ("failed", 9, "seen")
    assert red.message == 'it is red; 7 break the rule "yellow"'
    assert (yellow.status, green.status) == ("warned", "passed")
    assert outcome.failed_here == [("1", DAYS[0])]
    assert not outcome.is_warning

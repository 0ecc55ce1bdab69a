"""Replacing slices in a real Postgres: counts, ledger, idempotence, atomicity, concurrency."""

import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.slices import Attempt, SliceCounts
from meta_ads_pipeline.insights_tables import INSIGHTS_TABLES
from meta_ads_pipeline.raw import load
from meta_ads_pipeline.raw.load import PulledRows, load_insights
from tests.raw.insights_rows import DAY, ad_row, days, hour_row, hour_rows

HOURLY = INSIGHTS_TABLES["insights_hourly"]
DAILY = INSIGHTS_TABLES["insights_daily"]
TOTALS = INSIGHTS_TABLES["account_totals"]
BY = Attempt("sync-1", "run-1")
PULLED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def land(database, account):
    """Land rows; a later call is a later pull."""
    pulls = iter(range(1000))

    def land(rows, dates=(DAY,), table=HOURLY, account=account, api_calls=0):
        pulled_at = PULLED_AT + timedelta(hours=next(pulls))
        pulled = PulledRows(rows, list(dates), "v26.0", pulled_at, api_calls)
        return load_insights(database, account, table, pulled, BY)

    return land


def checksum(query, table="insights_hourly"):
    """Of everything in the table, system columns included: an untouched row keeps its xmin."""
    (row,) = query(
        f"select count(*) as rows, md5(string_agg(t::text || t.xmin, '|' order by t::text))"
        f" as md5 from raw.{table} as t"
    )
    return row["rows"], row["md5"]


def test_a_first_load_inserts_everything(land, query):
    dates = days(2)
    counts = land(hour_rows(2, dates), dates).counts
    assert counts == {day: SliceCounts(fetched=48, inserted=48) for day in dates}
    (row,) = query(
        "select * from raw.insights_hourly where ad_id = '1202' and event_hour = 7"
        " and event_date = %s",
        dates[1],
    )
    assert row == {
        "event_date": dates[1],
        "account_id": "1",
        "campaign_id": "11",
        "adset_id": "21",
        "ad_id": "1202",
        "event_hour": 7,
        "event_at": datetime(2026, 11, 11, 12, tzinfo=UTC),
        "hour_flag": None,
        "timezone": "America/New_York",
        "currency": "USD",
        "spend": Decimal("2.07"),
        "impressions": 207,
        "clicks": 12,
        "link_clicks": 8,
        "actions": [{"action_type": "link_click", "value": "7"}],
        "api_version": "v26.0",
        "pulled_at": PULLED_AT,
    }


def test_the_same_again_touches_nothing(land, query):
    dates = days(3)
    rows = hour_rows(3, dates)
    land(rows, dates)
    before = checksum(query)
    for _ in range(4):
        counts = land(list(reversed(rows)), dates).counts
        assert counts == {day: SliceCounts(fetched=72, unchanged=72) for day in dates}
    assert checksum(query) == before
    assert query("select * from raw.insights_changes") == []


def test_changed_vanished_and_new_rows_are_told_apart(land, query):
    land([hour_row(ad, hour=h) for ad in (1, 2) for h in (0, 1)])
    counts = land(
        [hour_row(1, hour=0), hour_row(1, hour=1, spend="13.00"), hour_row(3, hour=5)]
    ).counts
    assert counts[DAY] == SliceCounts(fetched=3, inserted=1, updated=1, deleted=2, unchanged=1)
    rows = query(
        "select ad_id, event_hour, spend, pulled_at from raw.insights_hourly order by 1, 2"
    )
    later = PULLED_AT + timedelta(hours=1)
    assert [tuple(row.values()) for row in rows] == [
        ("1201", 0, Decimal("12.34"), PULLED_AT),
        ("1201", 1, Decimal("13.00"), later),
        ("1203", 5, Decimal("12.34"), later),
    ]


def test_an_empty_answer_empties_the_slice_and_no_other(land, query):
    dates = days(2)
    land(hour_rows(1, dates), dates)
    assert land([], dates[:1]).counts == {dates[0]: SliceCounts(deleted=24)}
    assert query("select distinct event_date from raw.insights_hourly") == [
        {"event_date": dates[1]}
    ]


def test_another_account_s_rows_of_the_day_stay(land, query):
    other = Account("2", "Asia/Tokyo", "JPY")
    land([hour_row(1)])
    land([hour_row(2, account_id="2")], account=other)
    land([], account=other)
    assert query("select account_id from raw.insights_hourly") == [{"account_id": "1"}]


def test_money_is_equal_by_value_not_by_text(land, query):
    land([hour_row(spend="12.30")])
    assert land([hour_row(spend="12.3")]).counts[DAY].unchanged == 1


def test_null_becoming_zero_is_a_change(land, query):
    land([hour_row(clicks=None)])
    assert land([hour_row(clicks="0")]).counts[DAY].updated == 1
    (change,) = query("select measure, old_value, new_value from raw.insights_changes")
    assert tuple(change.values()) == ("clicks", None, "0")


def test_the_ledger_has_each_restated_measure_with_both_pulls(land, query):
    land([hour_row(1, hour=3), hour_row(2, hour=4)])
    land([hour_row(1, hour=3, spend="12.35", clicks="13"), hour_row(3, hour=5)])
    changes = query(
        "select account_id, event_date, asset, entity_id, event_hour, measure, old_value,"
        " new_value, previous_pulled_at, detected_at from raw.insights_changes"
        " order by entity_id, measure"
    )
    pulls = (PULLED_AT, PULLED_AT + timedelta(hours=1))
    expected = [
        *[("1201", 3, "clicks", "12", "13"), ("1201", 3, "spend", "12.34", "12.35")],
        *[("1202", 4, "clicks", "12", None), ("1202", 4, "impressions", "361", None)],
        *[("1202", 4, "link_clicks", "8", None), ("1202", 4, "spend", "12.34", None)],
        *[("1203", 5, "clicks", None, "12"), ("1203", 5, "impressions", None, "361")],
        *[("1203", 5, "link_clicks", None, "8"), ("1203", 5, "spend", None, "12.34")],
    ]
    assert [tuple(change.values()) for change in changes] == [
        ("1", DAY, "insights_hourly", *row, *pulls) for row in expected
    ]


def test_day_rows_put_restated_actions_into_the_ledger_by_type(land, query):
    def actions(**values):
        return [{"action_type": name, "value": value} for name, value in values.items()]

    land(
        [ad_row(actions=actions(purchase="1", lead="2"), action_values=actions(purchase="59.90"))],
        table=DAILY,
    )
    land(
        [ad_row(actions=actions(purchase="3", like="1"), action_values=actions(purchase="99.90"))],
        table=DAILY,
    )
    changes = query(
        "select measure, old_value, new_value, event_hour from raw.insights_changes order by 1"
    )
    assert [tuple(change.values()) for change in changes] == [
        ("action_values:purchase", "59.90", "99.90", None),
        ("actions:lead", "2", None, None),
        ("actions:like", None, "1", None),
        ("actions:purchase", "1", "3", None),
    ]


def test_lists_in_another_order_are_the_same_lists(land, query):
    items = [
        {"action_type": "link_click", "value": "8"},
        {"action_type": "purchase", "value": "2", "7d_click": "1"},
        {"action_type": "purchase", "value": "3", "action_reaction": "like"},
    ]
    fields = ("actions", "action_values", "conversions", "conversion_values")
    for table, names in ((HOURLY, fields[:1]), (DAILY, fields)):
        row = hour_row if table is HOURLY else ad_row
        land([row(**dict.fromkeys(names, items))], table=table)
        before = checksum(query, table.asset)
        land([row(**dict.fromkeys(names, items[::-1]))], table=table)
        assert checksum(query, table.asset) == before
        changed = [items[0], {**items[1], "value": "4"}, items[2]]
        counts = land([row(**dict.fromkeys(names, changed))], table=table).counts
        assert counts[DAY].updated == 1
    measures = {
        row["measure"] for row in query("select distinct measure from raw.insights_changes")
    }
    assert measures == {f"{name}:purchase" for name in fields}


def test_a_first_load_is_no_restatement_beside_a_second_one(land, query):
    dates = days(2)
    land([hour_row()], dates[:1])
    land([hour_row(spend="1"), hour_row(day=dates[1])], dates)
    assert {row["event_date"] for row in query("select * from raw.insights_changes")} == {dates[0]}


def test_account_totals_are_keyed_by_account_and_day(land, query):
    row = ad_row(ad_id=None, adset_id=None, campaign_id=None, reach="300")
    land([row], table=TOTALS)
    counts = land([{**row, "spend": "20.00"}], table=TOTALS).counts
    assert counts[DAY] == SliceCounts(fetched=1, updated=1)
    (change,) = query("select entity_id, measure, new_value from raw.insights_changes")
    assert tuple(change.values()) == ("1", "spend", "20.00")


def test_a_report_asked_for_earlier_never_lands_over_newer_rows(database, account, query):
    def land(at, *rows):
        pulled = PulledRows(rows, days(2), "v26.0", PULLED_AT + timedelta(hours=at))
        return load_insights(database, account, DAILY, pulled, BY).counts

    land(5, ad_row(1, spend="5.00"))
    with database.connect() as connection:
        connection.execute("delete from control.slices where partition_date = %s", [days(2)[1]])
    land(3, ad_row(1, spend="3.00"), ad_row(2), ad_row(1, days(2)[1]))
    rows = query("select event_date, ad_id, spend from raw.insights_daily order by 1")
    assert [(row["event_date"], row["ad_id"], row["spend"]) for row in rows] == [
        (DAY, "1201", Decimal("5.00")),
        (days(2)[1], "1201", Decimal("12.34")),
    ]
    slices_ = query("select status, pulled_at from control.slices order by partition_date")
    assert [row["status"] for row in slices_] == ["done", "done"]
    assert slices_[0]["pulled_at"] == PULLED_AT + timedelta(hours=5)


def test_a_dead_letter_is_one_for_each_object_and_field_until_a_good_pull(land, query):
    letters = "select status, attempts, object_id from control.dead_letters order by object_id"
    for spend in ("x", "y", "z"):
        land([ad_row(1, spend=spend), ad_row(2, spend="x"), ad_row(3)], table=DAILY)
    assert [tuple(row.values()) for row in query(letters)] == [
        ("open", 3, "1201"),
        ("open", 3, "1202"),
    ]
    land([ad_row(1), ad_row(2, spend="x")], table=DAILY)
    assert [row["status"] for row in query(letters)] == ["resolved", "open"]
    land([ad_row(1, spend="x")], table=DAILY)
    assert [row["status"] for row in query(letters)] == ["open", "resolved"]


def test_hours_of_one_ad_are_letters_of_their_own(land, query):
    land([hour_row(hour=hour, spend="x") for hour in (1, 2)])
    assert len(query("select from control.dead_letters")) == 2


def test_bad_rows_become_dead_letters_and_the_rest_lands(land, query):
    bad = hour_row(2, spend="-5", note="kept \0 whole \ud800", url="https://x/?access_token=EAAbc")
    counts = land([hour_row(1), bad, "nonsense", hour_row(3)]).counts
    assert counts[DAY] == SliceCounts(fetched=3, inserted=2, dead_lettered=2)
    letters = query("select * from control.dead_letters order by dead_letter_id")
    assert [letter["reason"] for letter in letters] == [
        "spend: expected 0 or more, got -5",
        "row: expected a JSON object, got 'nonsense'",
    ]
    assert letters[0]["object_id"] == "1202"
    assert letters[0]["field"] == "spend"
    assert letters[0]["partition_date"] == DAY
    assert letters[0]["document"]["spend"] == "-5"
    assert "EAAbc" not in str(letters[0]["document"])
    assert letters[0]["source_call"].startswith("act_1/insights level=ad by hour")


def test_a_dead_letter_met_again_counts_attempts(land, query):
    for _ in range(3):
        land([hour_row(spend="?")])
    (letter,) = query("select attempts, status from control.dead_letters")
    assert letter == {"attempts": 3, "status": "open"}


def test_slice_state_and_audit_go_with_the_rows(land, query):
    dates = days(3)
    land([hour_row(1), hour_row(1, day=dates[1])], dates, api_calls=7)
    states = query("select * from control.slices order by partition_date")
    assert [state["status"] for state in states] == ["done"] * 3
    assert [state["rows_inserted"] for state in states] == [1, 1, 0]
    assert sum(state["api_calls"] for state in states) == 7
    assert {state["pulled_at"] for state in states} == {PULLED_AT}
    land([], dates)
    audit = query("select * from control.slice_loads order by load_id")
    assert [(row["rows_inserted"], row["rows_deleted"]) for row in audit] == [
        *[(1, 0), (1, 0), (0, 0)],
        *[(0, 1), (0, 1), (0, 0)],
    ]


def test_a_failure_leaves_nothing_behind(land, query, monkeypatch):
    land([hour_row(1)])
    before = checksum(query)

    def break_off(*_, **__):
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(load.slices, "finish", break_off)
    with pytest.raises(psycopg.OperationalError):
        land([hour_row(2), hour_row(3, spend="?")])
    assert checksum(query) == before
    assert query("select * from control.dead_letters") == []
    assert query("select * from raw.insights_changes") == []


def test_months_are_made_for_raw_and_facts_by_loads_at_once(database, query):
    accounts = [Account(str(number), "UTC", "EUR") for number in range(1, 7)]
    dates = [date(2027, 1, 31), date(2027, 2, 1)]
    failures = []

    def work(account):
        rows = [
            hour_row(int(account.account_id), day, account_id=account.account_id) for day in dates
        ]
        try:
            pulled = PulledRows(rows, dates, "v26.0", PULLED_AT)
            load_insights(database, account, HOURLY, pulled, BY)
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=[account]) for account in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert query("select count(*) from raw.insights_hourly") == [{"count": 12}]
    children = query(
        "select inhrelid::regclass::text as child from pg_inherits"
        " where inhparent in ('raw.insights_hourly'::regclass, 'marts.metric_facts'::regclass)"
        " order by 1"
    )
    assert [row["child"] for row in children] == [
        f"partitions.{parent}_2027{month}"
        for parent in ("marts_metric_facts", "raw_insights_hourly")
        for month in ("01", "02")
    ]


def test_loads_of_the_same_slice_at_once_end_in_one_of_them(database, account, query):
    barrier = threading.Barrier(4)

    def work(number):
        rows = [hour_row(ad, hour=hour, spend=str(number)) for ad in range(20) for hour in range(9)]
        barrier.wait()
        pulled_at = PULLED_AT + timedelta(seconds=number)
        load_insights(database, account, HOURLY, PulledRows(rows, [DAY], "v26.0", pulled_at), BY)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert query("select count(*), count(distinct spend) as spends from raw.insights_hourly") == [
        {"count": 180, "spends": 1}
    ]
    (loads,) = query("select count(*), max(pulled_at) as newest from control.slice_loads")
    assert 1 <= loads["count"] <= 4  # one that waited while a later pull landed changes nothing
    assert loads["newest"] == PULLED_AT + timedelta(seconds=3)
    assert query("select distinct spend from raw.insights_hourly") == [{"spend": Decimal(3)}]


SLICE = st.dictionaries(
    st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(st.sampled_from(["0", "1.10", "2"]), st.sampled_from([None, "0", "5"])),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SLICE, min_size=1, max_size=4))
def test_any_sequence_of_pulls_ends_in_the_last_and_the_ledger_adds_up(database, account, pulls):
    dates = days(2)
    tables = "raw.insights_hourly, raw.insights_changes, control.slices, control.slice_loads"
    with database.connect() as connection:
        connection.execute(f"truncate {tables}")
    first_total = None
    for number, pull in enumerate(pulls):
        rows = [
            hour_row(ad, dates[day], hour, spend=spend, clicks=clicks)
            for (ad, hour, day), (spend, clicks) in pull.items()
        ]
        pulled = PulledRows(rows, dates, "v26.0", PULLED_AT + timedelta(hours=number))
        counts = load_insights(database, account, HOURLY, pulled, BY).counts
        for day in dates:
            count = counts[day]
            assert count.inserted + count.updated + count.unchanged == count.fetched
        total = sum(Decimal(spend) for spend, _ in pull.values())
        first_total = total if first_total is None else first_total
    with database.connect() as connection:
        held = connection.execute(
            "select ad_id, event_hour, event_date, spend, clicks from raw.insights_hourly"
        ).fetchall()
        ledger = connection.execute(
            "select coalesce(sum(coalesce(new_value, '0')::numeric"
            " - coalesce(old_value, '0')::numeric), 0) as moved"
            " from raw.insights_changes where measure = 'spend'"
        ).fetchone()
    assert {
        (int(row["ad_id"]) - 1200, row["event_hour"], (row["event_date"] - DAY).days): (
            row["spend"],
            row["clicks"],
        )
        for row in held
    } == {
        key: (Decimal(spend), None if clicks is None else int(clicks))
        for key, (spend, clicks) in pulls[-1].items()
    }
    assert first_total + ledger["moved"] == sum(row["spend"] for row in held)

"""An account in two timezones over time: what its dates, their marts and their readers see."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from .warehouse import AdDay, Warehouse

DAY = date(2026, 11, 19)
THIRD, FOURTH = DAY + timedelta(days=2), DAY + timedelta(days=3)
BOUGHT = {"omni_purchase": "2"}


def move(warehouse: Warehouse, timezone: str, seen_at: str) -> None:
    """The account gets another timezone, as its pull lands it."""
    warehouse.execute(
        f"update control.ad_accounts set timezone = '{timezone}'",
        "insert into control.account_timezones (account_id, timezone, valid_from)"
        f" values ('1', '{timezone}', '{seen_at}')",
    )


def test_dates_before_and_after_a_change(warehouse: Warehouse) -> None:
    warehouse.account(timezone="Europe/Berlin")
    warehouse.execute(
        "insert into control.account_timezones values ('1', 'Europe/Berlin', '2026-11-01Z')"
    )
    hours = {0: ("1.00", 10, 1), 23: ("0.10", 10, 1)}
    warehouse.pull(DAY, AdDay("1", hours, BOUGHT))
    warehouse.pull(DAY + timedelta(days=1), AdDay("1", hours, BOUGHT))
    move(warehouse, "America/New_York", "2026-11-21Z")
    warehouse.pull(THIRD, AdDay("1", hours, BOUGHT))
    move(warehouse, "Asia/Tokyo", "2026-11-22Z")
    warehouse.pull(FOURTH, AdDay("1", hours, BOUGHT))
    move(warehouse, "UTC", "2026-11-23Z")
    warehouse.build(DAY, FOURTH)

    first = warehouse.rows(
        "select event_date, timezone, event_at from marts.account_hourly"
        " where event_hour = 0 order by 1"
    )
    assert [(row["timezone"], row["event_at"]) for row in first] == [
        ("Europe/Berlin", datetime(2026, 11, 18, 23, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 11, 19, 23, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 21, 5, tzinfo=UTC)),
        ("Asia/Tokyo", datetime(2026, 11, 21, 15, tzinfo=UTC)),
    ]
    found = warehouse.rows(
        "select timezone, first_date, last_date, days, missing_hours, doubled_hours, is_current,"
        " seen_at::date::text as seen from marts.account_timezones order by first_date"
    )
    assert [tuple(row.values()) for row in found] == [
        ("Europe/Berlin", DAY, DAY + timedelta(days=1), 2, 0, 0, False, "2026-11-01"),
        # Berlin's 20th ends at 23:00 UTC, New York's 21st begins at 05:00.
        ("America/New_York", THIRD, THIRD, 1, 6, 0, False, "2026-11-21"),
        # New York's 21st ends at 05:00 UTC on the 22nd, Tokyo's 22nd began 14 hours before.
        ("Asia/Tokyo", FOURTH, FOURTH, 1, 0, 14, False, "2026-11-22"),
        ("UTC", None, None, 0, 0, 0, True, "2026-11-23"),
    ]
    # Each date is shown in the timezone that it had, and nothing is lost in any other.
    shown = "select display_timezone, sum(spend) as spend, sum(purchases) as purchases"
    shown += " from marts.account_daily_display group by 1 order by 1"
    assert [
        (row["display_timezone"], str(row["spend"]), row["purchases"])
        for row in warehouse.rows(shown)
    ] == [("America/New_York", "1.10", 2), ("Asia/Tokyo", "1.10", 2), ("Europe/Berlin", "2.20", 4)]
    with warehouse.database.connect() as connection:
        connection.execute("set local meta_ads.display_timezone = 'UTC'")
        (row,) = connection.execute(shown).fetchall()
    assert (str(row["spend"]), row["purchases"]) == ("4.40", 8)


def test_settled_is_by_the_timezone_of_the_date(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """28 days are over in Tokyo, where the date was pulled, before they are in New York."""
    warehouse.account(timezone="Asia/Tokyo")
    over_in_tokyo = datetime(2026, 12, 17, 15, 30, tzinfo=UTC)
    warehouse.pull(DAY, AdDay("1", {9: ("1.00", 10, 1)}), pulled_at=over_in_tokyo)
    move(warehouse, "America/New_York", "2026-11-25Z")
    monkeypatch.setenv("PGOPTIONS", "-c meta_ads.now=2026-12-17T16:00Z")
    assert warehouse.dbt(
        "run", "--select", "reconciliation", "metric_facts", "account_daily"
    ).success
    for table in ("metric_facts", "account_daily", "reconciliation"):
        assert warehouse.rows(f"select distinct is_settled from marts.{table}") == [
            {"is_settled": True}
        ], table


def test_minutes_fall_into_the_hour_they_are_in(warehouse: Warehouse) -> None:
    """Rows by the minute, as another provider sends them, where hours are long, short and odd."""
    warehouse.account()
    rows = {
        # Twice 01:00 in New York: the second one's minutes belong to the hour that began at 05:00.
        ("America/New_York", "2026-11-01", 1): ("2026-11-01T06:10Z", "2026-11-01T05:00Z"),
        # Lord Howe's 01:00 takes 90 minutes in autumn; in spring 02:00 begins at half past.
        ("Australia/Lord_Howe", "2026-04-05", 1): ("2026-04-04T15:29Z", "2026-04-04T14:00Z"),
        ("Australia/Lord_Howe", "2026-10-04", 2): ("2026-10-03T15:45Z", "2026-10-03T15:30Z"),
        ("Asia/Kolkata", "2026-11-19", 9): ("2026-11-19T04:29Z", "2026-11-19T03:30Z"),
        # Troll moves by two hours.
        ("Antarctica/Troll", "2026-10-25", 1): ("2026-10-25T01:59Z", "2026-10-24T23:00Z"),
    }
    for number, ((zone, day, hour), (event_at, _)) in enumerate(rows.items()):
        warehouse.execute(
            f"select control.ensure_month_partitions('marts.metric_facts', '{day}', '{day}')",
            "insert into marts.metric_facts (natural_key, workspace_id, provider, account_id,"
            " level, external_entity_id, entity_id, grain, event_at, event_date, event_hour,"
            " timezone, currency, impressions, is_settled, source, pulled_at)"
            f" select 'x-{number}', workspace_id, 'other', '{number}', 'account', '{number}',"
            f" gen_random_uuid(), 'minute', '{event_at}', '{day}', {hour}, '{zone}', 'EUR', 1,"
            " true, 'ingest', now() from control.workspaces limit 1",
        )
    assert warehouse.dbt("run", "--select", "account_hourly").success
    found = warehouse.rows(
        "select timezone, event_date::text, event_hour, event_at from marts.account_hourly"
    )
    assert {
        (row["timezone"], row["event_date"], row["event_hour"]): row["event_at"] for row in found
    } == {key: datetime.fromisoformat(start) for key, (_, start) in rows.items()}

"""Rebuilding dates: what vanished goes, what is the same is not touched, what is in doubt waits."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.automation.ingested import changed_dates
from meta_ads_pipeline.automation.jobs import ingested_job
from meta_ads_pipeline.definitions import build_defs
from meta_ads_pipeline.raw.ingest import land_facts

from .warehouse import PULLED, WORKSPACE, AdDay, Warehouse, tables_behind

DAY = date(2026, 11, 18)
NEXT = DAY + timedelta(days=1)
LATER = PULLED + timedelta(hours=1)
FACTS = tables_behind(
    *("ad_daily", "account_daily", "account_hourly", "campaign_daily", "campaign_hourly"),
    *("conversions_daily", "int_meta__built_definitions"),
)


def three_ads(spend: str = "1.00") -> tuple[AdDay, ...]:
    """Three ads with two hours each; the third has a purchase."""
    hours = {9: (spend, 10, 1), 10: ("0.50", 5, 0)}
    bought = {"omni_purchase": "1"}, {"omni_purchase": "20.00"}
    return AdDay("1", hours), AdDay("2", hours), AdDay("3", hours, *bought)


def spend_by_day(warehouse: Warehouse, table: str, account_id: str = "1") -> dict[date, Any]:
    rows = warehouse.rows(
        f"select event_date, sum(spend) as spend from marts.{table}"
        " where account_id = %s group by 1",
        account_id,
    )
    return {row["event_date"]: row["spend"] for row in rows}


def test_a_second_run_touches_nothing_and_tells_nobody(warehouse: Warehouse) -> None:
    warehouse.execute("truncate control.stream_events")
    warehouse.account()
    warehouse.pull(DAY, *three_ads())
    warehouse.pull(NEXT, *three_ads())
    warehouse.build(DAY, NEXT, tests=False)
    before = warehouse.contents("ctid, xmin::text")
    assert len(before["account_daily"]) == 2
    told = warehouse.rows("select data from control.stream_events where kind = 'last_updated'")
    assert [row["data"]["changed"] for row in told] == [2]
    assert {each["date"] for each in told[0]["data"]["account_days"]} == {str(DAY), str(NEXT)}
    # A pull that finds the same: the loader leaves the rows and renews the slice's time.
    warehouse.execute("update control.slices set pulled_at = pulled_at + interval '1 hour'")
    warehouse.execute("truncate intermediate.model_changes")
    warehouse.build(DAY, NEXT)
    assert warehouse.contents("ctid, xmin::text") == before
    changed = warehouse.rows("select * from intermediate.model_changes")
    assert {(row["rows_deleted"], row["rows_inserted"]) for row in changed} == {(0, 0)}
    assert {row["model"] for row in changed} >= {"metric_facts", "account_daily", "dim_ads"}
    assert warehouse.rows("select count(*) as events from control.stream_events") == [
        {"events": len(told)}
    ]


def test_vanished_ads_emptied_days_and_restated_hours(warehouse: Warehouse) -> None:
    warehouse.account()
    dates = [DAY + timedelta(days=offset) for offset in range(-1, 3)]
    for day in dates:
        warehouse.pull(day, *three_ads())
    warehouse.build(dates[0], dates[-1], tests=False, models=FACTS)
    first, second, third = three_ads()
    untouched = warehouse.rows(
        "select xmin::text from marts.metric_facts where event_date = %s", dates[0]
    )
    warehouse.pull(dates[0], first)  # outside the window that is rebuilt
    warehouse.pull(dates[1], first, third)
    warehouse.pull(dates[2])
    warehouse.pull(dates[3], *three_ads("1.01"), pulled_at=LATER)
    warehouse.build(dates[1], dates[3], models=FACTS)

    assert untouched == warehouse.rows(
        "select xmin::text from marts.metric_facts where event_date = %s", dates[0]
    )
    for table in ("metric_facts", "account_hourly", "ad_daily", "campaign_hourly", "account_daily"):
        assert spend_by_day(warehouse, table) == {
            dates[0]: Decimal("4.50"),
            dates[1]: Decimal("3.00"),
            dates[3]: Decimal("4.53"),
        }, table
    gone = warehouse.rows(
        "select * from marts.metric_facts where ad_id = '2' and event_date = %s", dates[1]
    )
    assert gone == []
    assert warehouse.value(
        "select count(*) from marts.reconciliation where event_date = %s and account_total = 0",
        dates[2],
    ) == len({"spend", "impressions", "clicks", "link_clicks", "purchases", "revenue", "leads"})
    hour_ten = warehouse.value(
        "select count(*) from marts.metric_facts where event_date = %s and event_hour = 10"
        " and pulled_at = %s",
        dates[3],
        LATER,
    )
    assert second.ad_id == "2"
    assert hour_ten == 3
    (counts,) = warehouse.rows(
        "select rows_deleted, rows_inserted, window_start, window_end"
        " from intermediate.model_changes where model = 'metric_facts'"
        " order by built_at desc limit 1"
    )
    # Deleted: 2 hours of ad 2, 6 hours and a day's row, and on the last date 6 hours and a day's
    # row that came back with a new pull.
    assert counts["rows_deleted"] == 2 + 7 + 7
    assert counts["rows_inserted"] == 7
    assert (counts["window_start"], counts["window_end"]) == (dates[1], dates[3] + timedelta(1))


def test_an_account_day_in_doubt_keeps_its_last_good_state(warehouse: Warehouse) -> None:
    warehouse.account("1")
    warehouse.account("2")
    for account_id in ("1", "2"):
        for day in (DAY, NEXT):
            warehouse.pull(day, *three_ads(), account_id=account_id)
    warehouse.build(DAY, NEXT, tests=False, models=FACTS)

    warehouse.pull(DAY, *three_ads("9.00"), account_id="1", account_spend="40.00")
    warehouse.pull(NEXT, *three_ads("9.00"), account_id="1")
    warehouse.pull(DAY, *three_ads("9.00"), account_id="2")
    warehouse.execute(
        "delete from control.slices where account_id = '2' and partition_date = '2026-11-19'"
        " and asset = 'account_totals'"
    )
    warehouse.pull(
        NEXT, *three_ads("9.00"), account_id="2", assets=("insights_hourly", "insights_daily")
    )
    warehouse.build(DAY, NEXT, models=FACTS)
    for table in ("metric_facts", "account_daily", "ad_daily", "account_hourly"):
        assert spend_by_day(warehouse, table, "1") == {DAY: Decimal("4.50"), NEXT: Decimal("28.50")}
        assert spend_by_day(warehouse, table, "2") == {DAY: Decimal("28.50"), NEXT: Decimal("4.50")}
    statuses = warehouse.rows(
        "select account_id, event_date, status, reason, delta from marts.reconciliation"
        " where measure = 'spend' and status not in ('reconciled', 'within_tolerance') order by 1"
    )
    assert [(row["account_id"], row["event_date"], row["status"]) for row in statuses] == [
        ("1", DAY, "mismatch"),
        ("2", NEXT, "incomplete"),
    ]
    assert statuses[0]["delta"] == Decimal("-11.50")
    assert statuses[0]["reason"] == (
        "hours are -11.50 off the account total; ad days are -11.50 off the account total"
    )
    assert statuses[1]["reason"] == "not pulled: account_totals"

    warehouse.pull(DAY, *three_ads("9.00"), account_id="1")
    warehouse.build(DAY, tests=False, models=FACTS)
    assert spend_by_day(warehouse, "metric_facts", "1")[DAY] == Decimal("28.50")


def test_other_providers_rows_stay(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.pull(DAY, *three_ads())
    warehouse.build(DAY, tests=False, models=FACTS)
    warehouse.execute(
        "insert into marts.metric_facts select 'other:x-2026-11-18', workspace_id, 'other',"
        " account_id, 'campaign', 'x', gen_random_uuid(), 'x', null, null, 'day', event_at,"
        " event_date, null, timezone, currency, null, 7, 70, 3, null, 2, 50, null, null,"
        " is_settled, 'ingest', pulled_at from marts.metric_facts where grain = 'day'"
    )
    warehouse.pull(DAY)
    warehouse.build(DAY, models=FACTS)
    assert [row["source"] for row in warehouse.rows("select source from marts.metric_facts")] == [
        "ingest"
    ]
    (row,) = warehouse.rows("select provider, spend, revenue from marts.account_daily")
    assert (row["provider"], row["spend"], row["revenue"]) == ("other", 7, 50)


def post(warehouse: Warehouse, spend: str, **others: str) -> None:
    """Land a posted fact: a campaign's minute, unless ``others`` say something else."""
    fact = {
        "provider": "google", "level": "campaign", "external_entity_id": "c1",
        "account_id": "g1", "event_at": f"{DAY}T14:20:00Z", "timezone": "UTC",
        "currency": "EUR", "spend": spend, **others,
    }  # fmt: skip
    with warehouse.database.connect() as connection:
        (result,) = land_facts(
            connection, WORKSPACE, [fact], first_date=date(2024, 1, 1), source_call="test"
        )
    assert result.reason is None, result


META_AD = {
    "provider": "meta", "level": "ad", "external_entity_id": "77", "campaign_id": "c",
    "adset_id": "s", "account_id": "1", "timezone": "Europe/Berlin", "currency": "EUR",
}  # fmt: skip


def test_posted_facts_take_the_same_way_and_a_date_is_built_until_it_has_them(
    warehouse: Warehouse,
) -> None:
    def spend_of(mart: str, provider: str) -> list[Decimal]:
        rows = warehouse.rows(f"select spend from marts.{mart} where provider = %s", provider)
        return [row["spend"] for row in rows if row["spend"] is not None]

    warehouse.account()
    post(warehouse, "7.10")
    post(warehouse, "100", **META_AD)
    assert set(changed_dates(warehouse.database)) == {DAY}
    # A build that fails after the facts: the rollups do not have them.
    warehouse.build(DAY, tests=False, models=tables_behind("metric_facts"))
    assert set(changed_dates(warehouse.database)) == {DAY}
    warehouse.build(DAY, models=FACTS)
    assert changed_dates(warehouse.database) == {}
    for mart in ("metric_facts", "account_daily", "campaign_hourly"):
        assert spend_of(mart, "google") == [Decimal("7.10")]
    assert spend_of("account_daily", "meta") == [Decimal("100")]

    post(warehouse, "8.20")
    assert set(changed_dates(warehouse.database)) == {DAY}
    warehouse.pull(DAY, *three_ads("9.00"), account_id="1")
    warehouse.build(DAY, tests=False, models=FACTS)
    assert spend_of("campaign_daily", "google") == [Decimal("8.20")]
    # Meta's own pull of the account-day has come: what was posted of it would count twice.
    assert spend_of("account_daily", "meta") == [Decimal("28.50")]


def test_a_build_for_posted_facts_takes_nothing_that_is_not_reconciled(
    warehouse: Warehouse,
) -> None:
    """A refresh has landed hours and not yet the rest, when somebody posts a fact of the date."""
    warehouse.account()
    warehouse.pull(DAY, *three_ads("9.00"))
    warehouse.build(DAY, tests=False, models=FACTS)
    warehouse.pull(DAY, *three_ads("1.00"), assets=["insights_hourly"], pulled_at=LATER)
    post(warehouse, "7.10")
    graph = build_defs().resolve_asset_graph()
    checks = {
        (key.asset_key.path[-1], key.name) for key in ingested_job.selection.resolve_checks(graph)
    }
    assert ("metric_facts", "levels") in checks
    assert ("reconciliation", "reconciliation") not in checks, "it is the refresh's to judge"
    keys = ingested_job.selection.resolve(graph)
    warehouse.build(DAY, tests=False, models=" ".join(sorted(key.path[-1] for key in keys)))
    rows = warehouse.rows("select provider, spend from marts.account_daily order by provider")
    assert [tuple(row.values()) for row in rows] == [
        ("google", Decimal("7.10")),
        ("meta", Decimal("28.50")),
    ]
    assert changed_dates(warehouse.database) == {}


def test_posted_facts_of_a_gap_between_pulls_are_settled_by_their_age(
    warehouse: Warehouse,
) -> None:
    warehouse.account()
    long_ago = DAY - timedelta(days=90)
    for day in (long_ago - timedelta(days=1), DAY):
        warehouse.pull(day, *three_ads())
    post(warehouse, "5", **META_AD, event_at=f"{long_ago}T14:00:00Z")
    warehouse.build(long_ago, tests=False, models=FACTS)
    seen = "select ctid::text, is_settled from marts.metric_facts"
    (before,) = warehouse.rows(seen)
    assert before["is_settled"]
    warehouse.build(long_ago, tests=False, models=FACTS)
    assert warehouse.rows(seen) == [before]


def test_conversions_stay_with_the_measure_that_is_held(warehouse: Warehouse) -> None:
    """The ad's purchase is missing in the next pull, and the account still counts it."""
    warehouse.account()
    warehouse.pull(DAY, *three_ads())
    warehouse.build(DAY, tests=False, models=FACTS)
    kept = "select purchases, conversions, cpa from marts.account_daily"
    before = warehouse.rows(kept)
    assert before[0]["conversions"] == before[0]["purchases"] == 1
    counted = warehouse.value("select actions::text from raw.account_totals")
    for actions in ({}, {"lead": "4"}):
        ads = [AdDay(ad.ad_id, ad.hours, actions) for ad in three_ads()]
        warehouse.pull(DAY, *ads, pulled_at=LATER)
        warehouse.execute(f"update raw.account_totals set actions = '{counted}'")
        warehouse.build(DAY, tests=False, models=FACTS)
        assert warehouse.rows(kept) == before


def test_any_order_of_dates_gives_the_same_marts(warehouse: Warehouse) -> None:
    """Day by day backwards, one of them twice, then all at once: the same rows."""
    warehouse.account()
    dates = [DAY + timedelta(days=offset) for offset in range(3)]
    for day in dates:
        warehouse.pull(day, *three_ads(f"{day.day}.01"))
    for day in (dates[2], dates[0], dates[0], dates[1]):
        warehouse.build(day, tests=False)
    by_day = warehouse.contents()
    warehouse.execute(
        *(f"truncate marts.{table}" for table in by_day if not table.startswith(("dim_", "entit")))
    )
    warehouse.build()
    assert warehouse.contents() == by_day

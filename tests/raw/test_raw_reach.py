"""Reach: which periods belong to a date, what they cost, and that any order gives the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.control.accounts import Account, save_accounts
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.fields import REACH_FIELDS
from meta_ads_pipeline.meta_api.insights_query import InsightsPart, InsightsQuery
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.cost_estimate import plan_accounts
from meta_ads_pipeline.raw.periods import UNIQUE_NOT_KEPT, Span, chains, spans_ending
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_reach import pull_reach
from meta_ads_pipeline.raw.replay import replay
from meta_ads_pipeline.windows import DateWindow, months_before
from tests.raw.fake_reader import NO_PERMISSION, api_error

TODAY = date(2026, 11, 21)  # a Saturday
YESTERDAY = TODAY - timedelta(days=1)
NOON = datetime(2026, 11, 21, 17, tzinfo=UTC)  # in New York


def periods_of(day: date, today: date = TODAY) -> set[str]:
    return {span.period for span in spans_ending(day, today)}


def test_the_periods_of_a_date() -> None:
    assert periods_of(TODAY) == {"day"}
    assert periods_of(YESTERDAY) == {"day", "7d", "28d", "month"}, "every morning"
    assert periods_of(date(2026, 11, 18)) == {"day"}
    assert periods_of(date(2026, 11, 15)) == {"day", "7d", "28d"}, "a Sunday"
    assert periods_of(date(2026, 10, 31)) == {"day", "month"}
    assert periods_of(date(2026, 11, 22), date(2026, 11, 22)) == {"day"}, "a Sunday not over yet"
    assert periods_of(TODAY + timedelta(days=1)) == set()
    starts = {span.period: span.start for span in spans_ending(YESTERDAY, TODAY)}
    assert starts == {
        "day": YESTERDAY,
        "7d": date(2026, 11, 14),
        "28d": date(2026, 10, 24),
        "month": date(2026, 11, 1),
    }


def test_what_meta_no_longer_has_is_left_out() -> None:
    first = months_before(TODAY, 37)
    assert first == date(2023, 10, 21)
    assert periods_of(first) == {"day"}
    assert periods_of(date(2023, 10, 22)) == {"day"}, "a Sunday whose week began too early"
    assert periods_of(first - timedelta(days=1)) == set()
    unique = months_before(TODAY, 13)
    sunday = date(2025, 10, 26)
    assert [span.has_unique_counts for span in spans_ending(sunday, TODAY)] == [True, False, False]
    assert spans_ending(unique, TODAY)[0].has_unique_counts
    assert not spans_ending(unique - timedelta(days=1), TODAY)[0].has_unique_counts
    assert months_before(date(2026, 3, 31), 13) == date(2025, 2, 28)


DATES = st.dates(date(2023, 9, 1), date(2026, 12, 5))


@given(
    today=st.dates(date(2026, 10, 25), date(2026, 12, 5)),
    dates=st.sets(DATES, max_size=60),
    run=st.tuples(DATES, st.integers(0, 120)),
    cuts=st.lists(st.integers(0, 180), max_size=4),
    data=st.data(),
)
def test_however_dates_are_put_together_the_same_periods_are_asked_for(
    today: date, dates: set[date], run: tuple[date, int], cuts: list[int], data: st.DataObject
) -> None:
    wanted = sorted(dates | {run[0] + timedelta(days=n) for n in range(run[1])})
    by_rule = {span for day in wanted for span in spans_ending(day, today)}
    shuffled = data.draw(st.permutations(wanted))
    bounds = sorted({0, len(shuffled), *(min(cut, len(shuffled)) for cut in cuts)})
    portions = [shuffled[first:after] for first, after in pairwise(bounds)]
    asked: list[Span] = []
    for portion in portions:
        for chain in chains(portion, today):
            assert {(s.period, s.has_unique_counts) for s in chain.spans} == {
                (chain.period, chain.has_unique_counts)
            }
            # What the client expects of Meta's answer is what the rule wants of it.
            query = InsightsQuery("1", "campaign", chain.period, chain.start, chain.end)
            assert query.spans == [(span.start, span.end) for span in chain.spans]
            asked += chain.spans
    assert sorted(asked) == sorted(by_rule), "each once"


def test_months_are_asked_in_one_go_to_date() -> None:
    (chain,) = (
        c for c in chains(DateWindow(date(2026, 8, 31), TODAY).dates, TODAY) if c.period == "month"
    )
    assert [(span.start, span.end) for span in chain.spans] == [
        (date(2026, 8, 1), date(2026, 8, 31)),
        (date(2026, 9, 1), date(2026, 9, 30)),
        (date(2026, 10, 1), date(2026, 10, 31)),
        (date(2026, 11, 1), YESTERDAY),
    ]


# On the simulator.


@pytest.fixture
def scene(database, client, simulator):
    return _Scene(database, client, simulator)


class _Scene:
    """An account of the simulator, its reach and what it cost."""

    def __init__(self, database, client, simulator) -> None:
        self.database, self.client, self.simulator = database, client, simulator
        self.account = pull_ad_accounts(database, client, ctx=PullContext("accounts", "run"))[0]
        now = simulator.control.now()
        self.today = now.astimezone(ZoneInfo(self.account.timezone)).date()
        simulator.control.reset("stats")

    def pull(self, dates, sync="sync", account: Account | None = None):
        context = PullContext(sync, "run", now=self.simulator.control.now)
        return pull_reach(self.database, self.client, account or self.account, dates, context)

    def back(self, first: int, last: int = 1) -> list[date]:
        return [self.today - timedelta(days=age) for age in range(first, last - 1, -1)]

    def calls(self) -> int:
        calls: int = self.simulator.control.stats()["calls"]
        self.simulator.control.reset("stats")
        return calls

    def rows(self, query="select * from raw.insights_reach", *parameters: Any):
        with self.database.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def contents(self) -> set[tuple[Any, ...]]:
        return {
            tuple(value for name, value in row.items() if name != "pulled_at")
            for row in self.rows()
        }


def test_what_a_refresh_and_a_backfill_cost(scene: _Scene) -> None:
    reports = scene.pull(scene.back(1))
    assert scene.calls() == 12, "three levels by day, 7 days, 28 days and month"
    assert sum(report.api_calls for report in reports) == 12
    (plan,) = plan_accounts(
        scene.database,
        [scene.account],
        DateWindow(*scene.back(90)[::89]),
        rules=BudgetRules(),
    )
    scene.calls()
    reports = scene.pull(scene.back(90), "backfill")
    calls = scene.calls()
    assert calls in (21, 27), "fewer where yesterday is a Sunday"
    assert {each.asset: each.calls for each in plan.assets}["insights_reach"] == calls
    assert sum(report.api_calls for report in reports) == calls
    # Once more within the sync: nothing is asked.
    assert all(report.skipped for report in scene.pull(scene.back(90), "backfill"))
    assert scene.calls() == 0


def test_any_order_gives_the_same_rows(scene: _Scene) -> None:
    scene.pull(scene.back(40))
    whole = scene.contents()
    levels = {(row["level"], row["period"]) for row in scene.rows()}
    assert len(levels) == 12
    with scene.database.connect() as connection:
        connection.execute("truncate raw.insights_reach, control.slices")
    for number, dates in enumerate((scene.back(20, 11), scene.back(1), scene.back(40, 15))):
        scene.pull(dates, f"sync {number}")
    scene.pull(scene.back(10, 2)[::-1], "last")
    assert scene.contents() == whole


def test_people_are_in_the_whole_once(scene: _Scene) -> None:
    scene.pull(scene.back(28))
    sums = scene.rows(
        "select whole.period, whole.level, whole.reach, whole.frequency, whole.impressions,"
        " whole.unique_clicks, whole.clicks,"
        " max(part.reach) as largest, sum(part.reach) as together,"
        " max(part.unique_clicks) as most, sum(part.unique_clicks) as clickers,"
        " sum(part.impressions) as shown, count(*) as parts"
        " from raw.insights_reach as whole join raw.insights_reach as part"
        " on part.entity_id = whole.entity_id and part.period = 'day' and whole.period <> 'day'"
        " and part.event_date between whole.period_start and whole.period_end"
        " where whole.period_end = %s group by whole.event_date, whole.level, whole.entity_id,"
        " whole.period, 1, 2, 3, 4, 5, 6, 7",
        scene.today - timedelta(days=1),
    )
    assert {row["level"] for row in sums} == {"account", "campaign", "adset"}
    for row in sums:
        if row["period"] == "month" and row["shown"] != row["impressions"]:
            continue  # the month began before the first pulled day
        assert row["shown"] == row["impressions"]
        assert row["largest"] <= row["reach"] <= row["together"]
        assert row["most"] <= row["unique_clicks"] <= row["clickers"]
        assert row["unique_clicks"] <= min(row["clicks"], row["reach"])
        assert abs(row["frequency"] * row["reach"] - row["impressions"]) < row["reach"] * 1e-5 + 1
        if row["parts"] > 1 and row["together"] > 10 * row["parts"]:
            assert row["largest"] < row["reach"] < row["together"]


def test_a_morning_s_trailing_week_outlives_later_pulls_of_its_date(scene: _Scene) -> None:
    """A later pull speaks for the periods that it asks for, and for no other."""
    simulator = scene.simulator
    # A yesterday that is neither a Sunday nor a month's last day.
    while scene.today.isoweekday() == 1 or scene.today.day == 1:
        simulator.control.advance_clock(86_400)
        scene.today += timedelta(days=1)
    morning, day = scene.back(1), scene.today - timedelta(days=1)
    scene.pull(morning)
    held = {row["period"] for row in scene.rows()}
    assert held == {"day", "7d", "28d", "month"}
    spend = "select period, spend from raw.insights_reach where level = 'account'"
    before = {row["period"]: row["spend"] for row in scene.rows(spend)}
    simulator.control.advance_clock(86_400)
    simulator.control.restate(scene.account.account_id, [day], "2")
    (report,) = scene.pull(morning, "a day later")
    assert (report.deleted, report.inserted) == (0, 0)
    assert report.updated > 0
    after = {row["period"]: row["spend"] for row in scene.rows(spend)}
    # Not twice what it was: shortly after midnight the day's last minutes are still counted.
    (truth,) = simulator.control.truth(scene.account.account_id, day, day)
    assert after.pop("day") == Decimal(truth["spend"]) > before.pop("day")
    assert after == before
    # What vanished of a period that is asked for goes.
    simulator.control.vanish(scene.account.account_id, [day])
    (report,) = scene.pull(morning, "two days later")
    assert report.deleted > 0
    assert {row["period"] for row in scene.rows()} == {"7d", "28d", "month"}
    assert scene.rows("select * from raw.insights_changes") == [], (
        "the ledger is of additive measures"
    )


def test_unique_counts_older_than_13_months_are_left_out_with_the_reason(scene: _Scene) -> None:
    day = months_before(scene.today, 13) - timedelta(days=1)
    account = scene.account
    scene.pull([day])
    rows = scene.rows()
    assert rows, account
    assert {row["omitted"] for row in rows} == {UNIQUE_NOT_KEPT}
    assert {row["unique_clicks"] for row in rows} == {None}
    assert all(row["reach"] > 0 for row in rows)
    scene.pull(scene.back(1), "recent")
    recent = [row for row in scene.rows() if row["event_date"] > day]
    assert {row["omitted"] for row in recent} == {None}
    assert all(row["unique_clicks"] is not None for row in recent)


def test_dates_that_meta_forgot_are_done_without_a_call(scene: _Scene) -> None:
    (report,) = scene.pull([months_before(scene.today, 37) - timedelta(days=1)])
    assert (report.row_count, report.api_calls, scene.calls()) == (0, 0, 0)


def test_a_refused_field_costs_the_field_not_the_pull(scene: _Scene) -> None:
    scene.simulator.control.add_fault("unfetchable_field", field="unique_clicks")
    scene.pull(scene.back(1))
    rows = scene.rows()
    assert {row["omitted"] for row in rows} == {"refused by Meta: unique_clicks"}
    assert {row["unique_clicks"] for row in rows} == {None}
    assert all(row["unique_link_clicks"] is not None for row in rows)


def test_counts_of_people_that_were_landed_stay_where_meta_no_longer_gives_them(
    scene: _Scene,
) -> None:
    ordered = "select * from raw.insights_reach order by event_date, level, entity_id, period"
    scene.pull(scene.back(1))
    before = scene.rows(ordered)
    assert all(row["unique_clicks"] is not None for row in before)
    scene.simulator.control.add_fault("unfetchable_field", field="unique_clicks")
    scene.pull(scene.back(1), "again")
    rows = scene.rows(ordered)
    assert {row["omitted"] for row in rows} == {"refused by Meta: unique_clicks"}
    assert [row["unique_clicks"] for row in rows] == [row["unique_clicks"] for row in before]


def test_too_much_data_is_asked_in_smaller_pieces(scene: _Scene) -> None:
    scene.pull(scene.back(40))
    whole = scene.contents()
    with scene.database.connect() as connection:
        connection.execute("truncate raw.insights_reach, control.slices")
    scene.simulator.control.add_fault("reduce_data", max_rows=6, variant="1487534")
    scene.calls()
    scene.pull(scene.back(40))
    assert scene.calls() > 40
    assert scene.contents() == whole


# Errors and bad rows, on an API made of lists.


class _Reader:
    api_version = "v26.0"
    dropped_fields: dict[str, dict[str, str]] = {}  # noqa: RUF012 - as the client has it

    def __init__(self, spoil=None) -> None:
        self.spoil, self.error = spoil, None

    def get_reach(self, account, start, end, *, level, period, unique_counts=True, counter=None):
        if self.error is not None and (level, period) == ("adset", "28d"):
            raise self.error
        query = InsightsQuery(account.account_id, level, period, start, end, measures=REACH_FIELDS)
        rows = [self._row(level, period, *span) for span in query.spans]
        return [InsightsPart(query, rows, datetime.now(UTC), "sync")]

    def _row(self, level, period, start, end):
        row = {
            "account_id": "1",
            "campaign_id": "11",
            "adset_id": "21",
            "date_start": start.isoformat(),
            "date_stop": end.isoformat(),
            "reach": "180",
            "frequency": "2.005556",
            "impressions": "361",
            "spend": "12.34",
            "unique_inline_link_clicks": "7",
        }
        if self.spoil == (level, period):
            row["reach"] = "-1"
        return row


def context(sync: str) -> PullContext:
    return PullContext(sync, "run", now=lambda: NOON)


def slices(database) -> Iterator[tuple[Any, ...]]:
    with database.connect() as connection:
        rows = connection.execute(
            "select partition_date, status, rows_fetched, rows_dead_lettered, error_kind"
            " from control.slices order by 1"
        ).fetchall()
    return (tuple(row.values()) for row in rows)


def test_a_slice_is_whole_or_not_at_all(database, account) -> None:
    reader = _Reader()
    reader.error = api_error(NO_PERMISSION)
    with pytest.raises(MetaApiError, match="no permission"):
        pull_reach(database, reader, account, [YESTERDAY], context("sync"))
    assert [row[1] for row in slices(database)] == ["failed"]
    with database.connect() as connection:
        assert connection.execute("select * from raw.insights_reach").fetchall() == []
    reader.error = None
    pull_reach(database, reader, account, [YESTERDAY, TODAY], context("sync"))
    assert list(slices(database)) == [
        (YESTERDAY, "done", 12, 0, None),
        (TODAY, "done", 3, 0, None),
    ]


def test_a_bad_row_is_a_dead_letter_that_a_replay_lands(database, account) -> None:
    with database.connect() as connection:
        save_accounts(connection, [account])
    pull_reach(database, _Reader(("campaign", "7d")), account, [YESTERDAY], context("sync"))
    assert list(slices(database)) == [(YESTERDAY, "done", 12, 1, None)]
    with database.connect() as connection:
        (letter,) = connection.execute("select * from control.dead_letters").fetchall()
        assert (letter["asset"], letter["object_id"], letter["field"]) == (
            *("insights_reach", "11", "reach"),
        )
        assert letter["partition_date"] == YESTERDAY
        connection.execute(
            "update control.dead_letters"
            " set document = jsonb_set(document::jsonb, '{reach}', '\"180\"')"
        )
    (replayed,) = replay(database, [letter["dead_letter_id"]], api_version="v26.0")
    assert replayed.landed, replayed.outcome
    with database.connect() as connection:
        rows = connection.execute(
            "select level, reach, period_start from raw.insights_reach where period = '7d'"
        ).fetchall()
    assert {(row["level"], row["reach"]) for row in rows} == {
        *(("account", 180), ("campaign", 180), ("adset", 180)),
    }
    assert {row["period_start"] for row in rows} == {YESTERDAY - timedelta(days=6)}

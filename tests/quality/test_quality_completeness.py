"""Completeness: what is missing is named with account, dates and reason."""

from __future__ import annotations

from datetime import UTC, date, datetime

from meta_ads_pipeline.quality.completeness import check_completeness
from meta_ads_pipeline.quality.scope import CheckScope
from meta_ads_pipeline.windows import DateWindow
from tests.quality.landing import DAYS, NEW_YORK, TOKYO, Landing

ADS = ("ads",)


def test_done_and_mismatched_slices_are_complete(landing: Landing, scope: CheckScope):
    landing.slices(NEW_YORK, DAYS, ADS)
    landing.slices(TOKYO, DAYS, ADS, status="mismatched")
    found = check_completeness(landing.database, "ads", scope)
    assert (found.passed, found.expected) == (True, 6)
    assert found.description() == "all 6 slices are done"


def test_another_assets_slices_do_not_count(landing: Landing, scope: CheckScope):
    landing.slices(NEW_YORK, DAYS)
    landing.slices(TOKYO, DAYS, ADS)
    found = check_completeness(landing.database, "creatives", scope)
    assert {(s.account_id, s.partition_date) for s in found.missing} == {("2", d) for d in DAYS}


def test_a_failing_account_is_named_with_dates_reason_and_attempts(
    landing: Landing, scope: CheckScope
):
    landing.slices(NEW_YORK, DAYS, ADS)
    landing.slices(TOKYO, DAYS[:1], ADS)
    failed = {"status": "failed", "error_kind": "auth", "error_message": "expired", "attempts": 4}
    landing.slices(TOKYO, DAYS[1:], ADS, **failed)
    found = check_completeness(landing.database, "ads", scope)
    assert not found.passed
    assert found.description() == "2 of 6 slices are not done: act_2"
    metadata = found.metadata()
    assert [record.data for record in metadata["failing_accounts"].records] == [
        {
            "account": "act_2",
            "dates": "2026-03-03..2026-03-04",
            "reason": "failed: auth: expired",
            "attempts": "4",
        }
    ]
    assert metadata["bad_days"] == "2026-03-03..2026-03-04"
    assert metadata["slices_done"] == 4


def test_never_pulled_killed_and_parked_are_told_apart(landing: Landing, scope: CheckScope):
    landing.slices(NEW_YORK, DAYS, ADS)
    landing.slices(TOKYO, DAYS[:1], ADS, status="running")
    landing.slices(TOKYO, DAYS[1:2], ADS, status="parked")
    reasons = {
        s.partition_date: s.reason
        for s in check_completeness(landing.database, "ads", scope).missing
    }
    assert reasons == {
        DAYS[0]: "still running, or its process was killed",
        DAYS[1]: "parked",
        DAYS[2]: "never pulled",
    }


def test_a_date_is_expected_where_it_has_begun(landing: Landing):
    """At 20:00 UTC it is the 5th in Tokyo and still the 4th in New York."""
    window = DateWindow(date(2026, 3, 4), date(2026, 3, 5))
    now = datetime(2026, 3, 4, 20, tzinfo=UTC)
    landing.slices(NEW_YORK, window.dates[:1], ADS)
    landing.slices(TOKYO, window.dates[:1], ADS)
    found = check_completeness(landing.database, "ads", CheckScope(window, (NEW_YORK, TOKYO), now))
    assert [(s.account_id, s.partition_date) for s in found.missing] == [("2", date(2026, 3, 5))]
    assert found.expected == 3


def test_nothing_to_expect_is_no_success(landing: Landing, scope: CheckScope):
    nobody = CheckScope(scope.window, (), scope.started_at)
    found = check_completeness(landing.database, "ads", nobody)
    assert not found.passed
    assert "no date of the run has begun" in found.description()

"""Usage headers in their own units."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.meta_api.usage import LONGEST_WAIT, Usage, UseCase, parse_usage


def test_units_and_cases_of_names() -> None:
    usage = parse_usage(
        {
            "x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":30}',
            "X-AD-ACCOUNT-USAGE": '{"acc_id_util_pct":9.67,"reset_time_duration":100,'
            '"ads_api_access_tier":"standard_access"}',
            "X-Business-Use-Case-Usage": json.dumps(
                {
                    "1": [
                        {"type": "ads_insights", "call_count": 95, "total_cputime": 20,
                         "total_time": 20, "estimated_time_to_regain_access": 7},
                        {"type": "ads_management", "call_count": 3, "total_cputime": 4,
                         "total_time": 5, "estimated_time_to_regain_access": 0},
                    ],
                    "2": [{"type": "ads_insights", "call_count": 100,
                           "estimated_time_to_regain_access": 60}],
                }
            ),
            "x-fb-ads-insights-throttle": '{"app_id_util_pct":40,"acc_id_util_pct":10}',
        }
    )  # fmt: skip
    assert usage.app_percent == 30
    assert usage.tier == "standard_access"
    assert usage.percent(UseCase.INSIGHTS, "1") == 95
    assert usage.percent(UseCase.MANAGEMENT, "1") == 30
    assert usage.percent(UseCase.INSIGHTS, "2") == 100
    assert usage.retry_after_seconds(UseCase.INSIGHTS, "1") == 7 * 60
    assert usage.retry_after_seconds(UseCase.MANAGEMENT, "1") is None


def test_the_reset_time_counts_only_when_the_account_is_used_up() -> None:
    half = parse_usage({"X-Ad-Account-Usage": '{"acc_id_util_pct":50,"reset_time_duration":100}'})
    full = parse_usage({"X-Ad-Account-Usage": '{"acc_id_util_pct":100,"reset_time_duration":100}'})
    assert half.retry_after_seconds(UseCase.MANAGEMENT) is None
    assert full.retry_after_seconds(UseCase.MANAGEMENT) == 100


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"1": 5}', '{"1": [3]}', '{"1":[{}]}'])
@pytest.mark.parametrize(
    "name",
    [
        "X-App-Usage",
        "X-Ad-Account-Usage",
        "X-Business-Use-Case-Usage",
        "X-FB-Ads-Insights-Throttle",
    ],
)
def test_unreadable_headers_are_no_failure(name: str, text: str) -> None:
    assert parse_usage({name: text}).percent(UseCase.INSIGHTS, "1") == 0


def test_observed_headers(samples: Path) -> None:
    found = {}
    for file in sorted((samples / "headers").glob("*.json")):
        usage = parse_usage(json.loads(file.read_text()))
        found[file.stem] = (
            usage.percent(UseCase.INSIGHTS),
            usage.retry_after_seconds(UseCase.INSIGHTS),
            usage.tier,
        )
    assert found == {
        "01": (3, None, None),
        "02": (0, None, None),
        "03": (0, None, None),
        "04": (0.21, None, "standard_access"),
        "05": (100, None, None),
        "06": (100, 600, None),
        "07": (9.67, None, "standard_access"),
        "08": (0, None, None),
    }


def test_no_header_is_an_empty_usage() -> None:
    assert parse_usage({"Content-Type": "application/json"}) == Usage()


ABSURD = st.one_of(
    st.integers(-(10**400), 10**400),
    st.integers(1_500_000_000, 2_000_000_000),  # a Unix time in place of a span
    st.floats(),
    st.sampled_from(["NaN", "-inf", "Infinity", "1e999", "-7", "", "soon", " 12 ", "1_000"]),
    st.none() | st.booleans() | st.lists(st.integers(), max_size=2),
)


@given(ABSURD, ABSURD)
def test_no_wait_is_believed_beyond_the_longest_window(wait: object, percent: object) -> None:
    entry = {"type": "ads_insights", "call_count": percent, "estimated_time_to_regain_access": wait}
    usage = parse_usage(
        {
            "X-Business-Use-Case-Usage": json.dumps({"1": [entry]}),
            "X-Ad-Account-Usage": json.dumps(
                {"acc_id_util_pct": percent, "reset_time_duration": wait}
            ),
        }
    )
    reset, asked = usage.account_reset_seconds, usage.retry_after_seconds(UseCase.INSIGHTS, "1")
    assert reset is None or 0 <= reset <= LONGEST_WAIT
    assert asked is None or 0 < asked <= LONGEST_WAIT
    assert math.isfinite(usage.percent(UseCase.INSIGHTS, "1"))


def test_a_header_of_brackets_without_end_is_no_failure() -> None:
    assert parse_usage({"X-App-Usage": "[" * 60_000}) == Usage()

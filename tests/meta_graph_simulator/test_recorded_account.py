"""The player: a recorded account comes back as Meta gave it, at every level and by the hour."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_graph_simulator.accounts.totals import account_truth
from meta_graph_simulator.insights.run import InsightsQuery, run
from meta_graph_simulator.recordings.files import RecordingError
from meta_graph_simulator.recordings.recorded_account import (
    RecordedAccount,
    is_on_meta,
    largest_remainder,
)
from tests.meta_graph_simulator.generated_accounts import HOURLY, NOW

RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "real_account"
needs_recording = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded account (../shared/data/real_account) is not here"
)


def now() -> datetime:
    return NOW


# Meta's own answers


@pytest.fixture(scope="module")
def real() -> RecordedAccount:
    return RecordedAccount(RECORDED, now)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads((RECORDED / "expected_totals.json").read_text())  # type: ignore[no-any-return]


def window(expected: dict[str, Any]) -> tuple[date, date]:
    since, until = expected["window"]
    return date.fromisoformat(since), date.fromisoformat(until)


def figures(row: dict[str, Any]) -> tuple[Decimal, int, int]:
    return Decimal(row["spend"]), int(row["impressions"]), int(row["clicks"])


@needs_recording
@pytest.mark.parametrize(
    ("level", "file"),
    [
        ("ad", "ad_day.csv"),
        ("adset", "adset_day.csv"),
        ("campaign", "campaign_day.csv"),
        ("account", "account_day.csv"),
    ],
)
@pytest.mark.parametrize("hourly", [False, True])
def test_every_object_and_day_equals_metas_own_answer(
    real: RecordedAccount, expected: dict[str, Any], level: Any, file: str, hourly: bool
) -> None:
    since, until = window(expected)
    key = f"{level}_id"
    query = InsightsQuery(
        since,
        until,
        level=level,
        fields=(key, "spend", "impressions", "clicks"),
        time_increment=1,
        breakdowns=(HOURLY,) if hourly else (),
    )
    ours: defaultdict[tuple[str, str], list[Any]] = defaultdict(lambda: [Decimal(0), 0, 0])
    for row in run(real, query):
        total = ours[row[key], row["date_start"]]
        for place, value in enumerate(figures(row)):
            total[place] += value
    with (RECORDED / file).open(newline="") as lines:
        theirs = {
            (row[key], row["date_start"]): list(figures(row))
            for row in csv.DictReader(lines)
            if since.isoformat() <= row["date_start"] <= until.isoformat()
        }
    for place, values in theirs.items():
        assert ours[place] == values, place
    if level != "ad":  # the CSV of single ads was recorded with another, smaller selection
        assert set(ours) == set(theirs)


@needs_recording
def test_totals(real: RecordedAccount, expected: dict[str, Any]) -> None:
    since, until = window(expected)
    for level, name in (("campaign", "by_campaign"), ("adset", "by_adset"), ("ad", "by_ad")):
        query = InsightsQuery(
            since,
            until,
            level=level,  # type: ignore[arg-type]
            fields=(f"{level}_id", "spend", "impressions", "clicks"),
        )
        ours = {row[f"{level}_id"]: figures(row) for row in run(real, query)}
        assert ours == {key: figures(value) for key, value in expected[name].items()}
    rows = {
        level: run(
            real,
            InsightsQuery(since, until, level=level, fields=("spend",), time_increment=1),  # type: ignore[arg-type]
        )
        for level in ("ad", "adset", "campaign", "account")
    }
    for level, found in rows.items():
        assert len(found) == expected[f"{level}_days"]
    (total,) = run(real, InsightsQuery(since, until, fields=("spend", "impressions", "clicks")))
    assert figures(total) == figures(expected["totals"])


@needs_recording
def test_actions_leads_six_and_not_eighteen(
    real: RecordedAccount, expected: dict[str, Any]
) -> None:
    since, until = window(expected)
    for level in ("ad", "campaign", "account"):
        counted: Counter[str] = Counter()
        query = InsightsQuery(since, until, level=level, fields=("actions",), time_increment=1)  # type: ignore[arg-type]
        for row in run(real, query):
            for item in row.get("actions", ()):
                counted[item["action_type"].rpartition(".")[2]] += int(item["value"])
        assert counted == {key: int(value) for key, value in expected["actions_ad_level"].items()}
        assert counted["lead"] == 6


@needs_recording
def test_documents_of_the_real_account(real: RecordedAccount) -> None:
    assert real.account["timezone_name"] == "Europe/Prague"
    assert real.account["currency"] == "EUR"
    assert real.account["timezone_offset_hours_utc"] == 1.0
    assert [len(real.objects(kind)) for kind in ("campaign", "adset", "ad")] == [58, 113, 281]
    adset = real.entities().by_id["adset"]["120241721599840604"]
    assert adset["name"] == "LAL_UK_finance"
    assert adset["status"] == "ACTIVE"
    assert adset["is_dynamic_creative"] is False
    assert adset["learning_stage_info"] == {
        "attribution_windows": ["7d_click"],
        "conversions": 0,
        "last_sig_edit_ts": 1772722856,
        "status": "LEARNING",
    }
    ad = real.entities().by_id["ad"]["120241725104280604"]
    assert ad["creative"]["id"] in real.entities().by_id["creative"]
    assert "parent_id" not in ad
    assert "stop_time" not in real.objects("campaign")[0]


# A recording of our own


def recording(folder: Path, rows: list[dict[str, Any]], **account: str) -> Path:
    document = {"id": "act_9", "currency": "EUR", "timezone_name": "Europe/Berlin", **account}
    (folder / "accounts.json").write_text(json.dumps([document]))
    (folder / "campaigns.json").write_text(json.dumps({"data": [{"id": "1", "name": "C"}]}))
    with gzip.open(folder / "ad_day_insights.jsonl.gz", "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def ad_day(ad: str = "3", day: str = "2026-10-25", **more: Any) -> dict[str, Any]:
    ids = {"ad_id": ad, "adset_id": "2", "campaign_id": "1", "account_id": "9", "ad_name": "A"}
    figures = {"impressions": "1000", "clicks": "30", "spend": "12.3", "reach": "700"}
    return {**ids, **figures, "date_start": day, "date_stop": day, **more}


def actions(**counts: int) -> list[dict[str, str]]:
    names = {name.replace("__", "."): str(count) for name, count in counts.items()}
    return [{"action_type": name, "value": value} for name, value in names.items()]


def test_hours_sum_back_and_keep_off_meta_actions_on_the_day(tmp_path: Path) -> None:
    row = ad_day(
        actions=actions(
            link_click=11, lead=5, onsite_conversion__lead_grouped=3, omni_purchase=2, purchase=2
        ),
        action_values=[{"action_type": "omni_purchase", "value": "59.9"}],
    )
    source = RecordedAccount(recording(tmp_path, [row]), now)
    fields = ("spend", "impressions", "clicks", "inline_link_clicks", "actions", "action_values")
    query = InsightsQuery(
        date(2026, 10, 25), date(2026, 10, 25), "ad", fields=fields, time_increment=1
    )
    (daily,) = run(source, query)
    assert daily["actions"] == [
        {"action_type": "link_click", "value": "11"},
        {"action_type": "lead", "value": "5"},
        {"action_type": "onsite_conversion.lead_grouped", "value": "3"},
        {"action_type": "omni_purchase", "value": "2"},
        {"action_type": "purchase", "value": "2"},
    ]
    assert daily["action_values"] == [{"action_type": "omni_purchase", "value": "59.9"}]
    hours = run(source, InsightsQuery(**{**_values(query), "breakdowns": (HOURLY,)}))
    for name in ("spend", "impressions", "clicks", "inline_link_clicks"):
        assert sum(Decimal(hour[name]) for hour in hours) == Decimal(daily[name])
    by_hour: Counter[str] = Counter()
    for hour in hours:
        assert "action_values" not in hour
        for item in hour.get("actions", ()):
            by_hour[item["action_type"]] += int(item["value"])
    assert by_hour == {"link_click": 11, "onsite_conversion.lead_grouped": 3, "lead": 3}


def _values(query: InsightsQuery) -> dict[str, Any]:
    return {name: getattr(query, name) for name in InsightsQuery.__slots__}


def test_hours_follow_the_clock_of_the_account(tmp_path: Path) -> None:
    spring = ad_day(day="2026-03-29", impressions="90000")
    autumn = ad_day(day="2026-10-25", impressions="90000")
    source = RecordedAccount(recording(tmp_path, [spring, autumn]), now)
    assert source.delivery(date(2026, 3, 29)).hours[0, 2].sum() == 0
    hours = source.delivery(date(2026, 10, 25)).hours[0, :, 1]
    assert hours[2] > hours[3]
    assert source.days == (date(2026, 3, 29), date(2026, 10, 25))


def test_objects_without_documents_are_read_by_id(tmp_path: Path) -> None:
    source = RecordedAccount(recording(tmp_path, [ad_day()]), now)
    assert source.entities().find("3") == (
        "ad",
        {"id": "3", "account_id": "9", "adset_id": "2", "campaign_id": "1", "name": "A"},
    )
    assert source.entities().find("2") == (
        "adset",
        {"id": "2", "account_id": "9", "campaign_id": "1"},
    )
    assert source.entities().find("1") == ("campaign", {"id": "1", "name": "C", "account_id": "9"})


def test_yen_have_no_minor_unit(tmp_path: Path) -> None:
    folder = recording(tmp_path, [ad_day(spend="1203")], currency="JPY", timezone_name="Asia/Tokyo")
    source = RecordedAccount(folder, now)
    assert source.delivery(date(2026, 10, 25)).total("spend") == 1203


def test_days_after_the_clock_are_not_there_yet(tmp_path: Path) -> None:
    folder = recording(tmp_path, [ad_day()])
    source = RecordedAccount(folder, lambda: datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert not source.delivery(date(2026, 10, 25)).ad_ids


def test_a_running_day_has_no_hours_of_the_future(tmp_path: Path) -> None:
    row = ad_day(impressions="2400", spend="24", actions=actions(link_click=240, omni_purchase=24))
    folder = recording(tmp_path, [row])  # Europe/Prague: 10:00 UTC is 11:00 after the clocks change
    source = RecordedAccount(folder, lambda: datetime(2026, 10, 25, 10, 20, tzinfo=UTC))
    day = source.delivery(date(2026, 10, 25))
    assert day.hours[:, 12:].sum() == 0
    assert 0 < day.total("impressions") < 1200
    share = day.total("impressions") / 2400
    assert day.day_actions.sum() == int(24 * share)
    assert source.delivery(date(2026, 10, 25)) is day
    over = RecordedAccount(folder, lambda: datetime(2026, 10, 26, 10, tzinfo=UTC))
    assert over.delivery(date(2026, 10, 25)).total("impressions") == 2400


def test_fractions_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    row = ad_day(
        actions=[
            {"action_type": "link_click", "value": "3"},
            {"action_type": "omni_purchase", "value": "1.25"},
        ],
        action_values=[{"action_type": "omni_purchase", "value": "59.9925"}],
        spend="2",
    )
    source = RecordedAccount(recording(tmp_path, [row]), now)
    fields = ("actions", "action_values", "cost_per_action_type", "purchase_roas")
    found = _lists(InsightsQuery(*window_of(row), level="ad", fields=fields), source)
    assert found["actions"] == {"link_click": "3", "omni_purchase": "1.25"}
    assert found["action_values"] == {"omni_purchase": "59.9925"}
    assert found["cost_per_action_type"]["omni_purchase"] == "1.6"
    assert found["purchase_roas"] == {"omni_purchase": "29.99625"}
    [truth] = account_truth(source, *window_of(row))
    assert truth["actions"] == {"link_click": 3, "omni_purchase": "1.25"}
    assert truth["action_values"] == {"omni_purchase": "59.9925"}


def test_items_of_zero_and_conversions_by_name_are_kept(tmp_path: Path) -> None:
    row = ad_day(
        actions=[
            {"action_type": "link_click", "value": "3"},
            {"action_type": "omni_purchase", "value": "0"},
        ],
        action_values=[{"action_type": "omni_purchase", "value": "0"}],
        conversions=[{"action_type": "contact_total", "value": "2"}],
        conversion_values=[{"action_type": "contact_total", "value": "7.5"}],
    )
    source = RecordedAccount(recording(tmp_path, [row]), now)
    fields = ("actions", "action_values", "conversions", "conversion_values")
    for level in ("ad", "account"):
        query = InsightsQuery(*window_of(row), level=level, fields=fields)  # type: ignore[arg-type]
        assert _lists(query, source) == {
            "actions": {"link_click": "3", "omni_purchase": "0"},
            "action_values": {"omni_purchase": "0"},
            "conversions": {"contact_total": "2"},
            "conversion_values": {"contact_total": "7.5"},
        }


def test_custom_conversions_are_those_recorded_and_those_counted(tmp_path: Path) -> None:
    counted = [{"action_type": "offsite_conversion.custom.77", "value": "1"}]
    folder = recording(tmp_path, [ad_day(actions=counted)])
    (folder / "customconversions.json").write_text('[{"id": "76", "name": "Offer read"}]')
    found = RecordedAccount(folder, now).custom_conversions
    assert [(item["id"], item["name"]) for item in found] == [
        ("76", "Offer read"),
        ("77", "Custom conversion 77"),
    ]


def window_of(row: dict[str, Any]) -> tuple[date, date]:
    day = date.fromisoformat(row["date_start"])
    return day, day


def _lists(query: InsightsQuery, source: RecordedAccount) -> dict[str, dict[str, str]]:
    [row] = run(source, query)
    return {
        name: {item["action_type"]: item["value"] for item in row[name]}
        for name in query.fields or ()
        if name in row
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ad_day(), ad_day()], "twice"),
        ([ad_day(date_stop="2026-10-26")], "more than one day"),
        ([{"ad_id": "3"}], "not an ad-day"),
        ([ad_day(impressions="many")], "impressions is 'many'"),
        ([ad_day(spend="-1")], "spend is '-1'"),
        ([ad_day(actions=[{"action_type": "lead", "value": None}])], "actions lead is None"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RecordingError, match=rf"insights.jsonl.gz:{len(rows)}.*{message}"):
        RecordedAccount(recording(tmp_path, rows), now)


def test_an_empty_folder_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="accounts"):
        RecordedAccount(tmp_path, now)


@pytest.mark.parametrize(
    ("winter", "summer", "zone"),
    [
        ("2026-01-05T10:00:00+0100", "2026-07-05T10:00:00+0200", "Europe/Prague"),
        ("2026-01-05T10:00:00-0500", "2026-07-05T10:00:00-0400", "America/New_York"),
        ("2026-01-05T10:00:00+0900", "2026-07-05T10:00:00+0900", "Asia/Tokyo"),
        ("2026-01-05T10:00:00+1000", "2026-07-05T10:00:00+1000", "Australia/Brisbane"),
    ],
)
def test_the_timezone_is_inferred_from_offsets(
    tmp_path: Path, winter: str, summer: str, zone: str
) -> None:
    folder = recording(tmp_path, [ad_day()])
    (folder / "accounts.json").write_text(json.dumps([{"id": "act_9", "currency": "EUR"}]))
    with (folder / "ads.csv").open("w") as file:
        file.write(f"id,created_time\n3,{winter}\n4,{summer}\n")
    assert RecordedAccount(folder, now).account["timezone_name"] == zone
    named = RecordedAccount(folder, now, timezone="Asia/Kolkata")
    assert named.account["timezone_name"] == "Asia/Kolkata"
    (folder / "ads.csv").write_text("id,created_time\n3,2026-01-05T10:00:00+0330\n")
    with pytest.raises(RecordingError, match="timezone"):
        RecordedAccount(folder, now)


@given(
    st.lists(st.integers(0, 10**7), min_size=1, max_size=5),
    st.lists(st.integers(0, 10**5), min_size=24, max_size=24).filter(any),
)
def test_largest_remainder_sums_back(totals: list[int], weights: list[int]) -> None:
    parts = largest_remainder(np.array([totals]), np.array([weights]))[0]
    assert parts.shape == (24, len(totals))
    assert (parts >= 0).all()
    assert parts.sum(axis=0).tolist() == totals
    assert not parts[np.array(weights) == 0].any()
    exact = np.array(weights)[:, None] * np.array(totals) / sum(weights)
    assert (abs(parts - exact) < 1 + 1e-6).all()


@pytest.mark.parametrize(
    ("action_type", "on_meta"),
    [
        ("link_click", True),
        ("onsite_conversion.post_save", True),
        ("onsite_conversion.lead_grouped", True),
        ("onsite_conversion.purchase", False),
        ("offsite_conversion.fb_pixel_lead", False),
        ("omni_purchase", False),
        ("lead", False),
        ("mobile_app_install", False),
    ],
)
def test_what_happens_on_meta(action_type: str, on_meta: bool) -> None:
    assert is_on_meta(action_type) is on_meta

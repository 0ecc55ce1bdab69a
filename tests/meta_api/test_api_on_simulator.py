"""The client against the simulated Graph API: the whole wire format, its faults, and its truth."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.meta_api.config import PlanLimits, ReportLimits
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError
from meta_ads_pipeline.meta_api.fields import HOURLY_BREAKDOWN
from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.http.server import SimulatorServer
from tests.insights_reading import read_insights

QUICK_REPORTS = ReportLimits(
    first_poll=0.05, longest_poll=0.2, stuck_after=0.6, report_time=5, total_time=30
)
REPORTS = PlanLimits(page_size=400, sync_rows=0, report_days=3)


def nap(seconds: float) -> None:
    time.sleep(min(seconds, 0.02))


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    config = SimulatorConfig(
        accounts=2,
        ads=12,
        job_seconds=0.1,
        markets=(("USD", "America/New_York"), ("JPY", "Asia/Tokyo")),
    )
    with SimulatorServer(config) as running:
        yield running


@pytest.fixture
def simulator(server: SimulatorServer) -> SimulatorServer:
    server.control.reset("faults", "stats", "jobs", "throttle")
    return server


@pytest.fixture
def connect(simulator: SimulatorServer) -> Iterator[Callable[..., MetaAdsClient]]:
    clients = []

    def make(**settings: Any) -> MetaAdsClient:
        merged = {"access_token": "SIMULATOR-TOKEN", "graph_url": simulator.url, "sleep": nap}
        clients.append(MetaAdsClient(**{**merged, "report_limits": QUICK_REPORTS, **settings}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def refs(client: MetaAdsClient) -> list[AccountRef]:
    return [
        AccountRef(each["account_id"], each["timezone_name"], each["currency"])
        for each in client.get_accounts()
    ]


def yesterday(simulator: SimulatorServer) -> date:
    return simulator.control.now().date() - timedelta(days=2)


def totals(rows: list[dict]) -> dict[str, list[Any]]:
    """Spend, impressions, clicks and link clicks by day."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        day = found.setdefault(row["date_start"], [Decimal(0), 0, 0, 0])
        day[0] += Decimal(row["spend"])
        for place, name in enumerate(("impressions", "clicks", "inline_link_clicks"), 1):
            day[place] += int(row.get(name, 0))
    return found


def truth(
    simulator: SimulatorServer, account: AccountRef, start: date, end: date
) -> dict[str, list[Any]]:
    return {
        row["date"]: [
            Decimal(row["spend"]), row["impressions"], row["clicks"], row["inline_link_clicks"]
        ]
        for row in simulator.control.truth(account.account_id, start, end)
    }  # fmt: skip


@pytest.mark.parametrize("limits", [PlanLimits(), REPORTS], ids=["sync", "async"])
def test_every_level_and_grain_sums_to_the_truth(
    limits: PlanLimits, simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    client = connect(plan_limits=limits)
    end = yesterday(simulator)
    start = end - timedelta(days=5)
    for account in refs(client):
        expected = truth(simulator, account, start, end)
        assert len(expected) == 6
        for level in ("ad", "adset", "campaign", "account"):
            for grain in ("hour", "day"):
                result = read_insights(client, account, start, end, level=level, grain=grain)
                assert totals(result.rows) == expected, (account, level, grain)
                keys = Counter(
                    (row["date_start"], row.get(HOURLY_BREAKDOWN), row.get(f"{level}_id"))
                    for row in result.rows
                )
                assert max(keys.values()) == 1
                assert result.dropped_fields == {}


def test_daily_rows_carry_conversions_and_hourly_rows_do_not(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    client = connect()
    account, _ = refs(client)
    day = yesterday(simulator)
    by_day = read_insights(client, account, day - timedelta(6), day, level="ad", grain="day").rows
    by_hour = read_insights(client, account, day - timedelta(6), day, level="ad", grain="hour").rows

    def types(rows: list[dict]) -> set[str]:
        return {each["action_type"] for row in rows for each in row.get("actions", [])}

    assert {"link_click", "omni_purchase"} <= types(by_day)
    assert "link_click" in types(by_hour)
    assert not {name for name in types(by_hour) if "purchase" in name or "pixel" in name}
    assert any(row.get("action_values") for row in by_day)
    assert {row["account_currency"] for row in by_day} == {"USD"}
    assert all("attribution_setting" in row for row in by_day)


def test_entities_are_whole_and_what_lists_omit_is_read_by_id(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    client = connect()
    account, _ = refs(client)
    campaigns = {row["id"] for row in client.get_campaigns(account.account_id)}
    adsets = client.get_adsets(account.account_id)
    ads = client.get_ads(account.account_id)
    creatives = client.get_creatives(account.account_id)
    assert "ARCHIVED" in {row["effective_status"] for row in ads}
    assert "DELETED" not in {row["effective_status"] for row in ads}
    assert {row["campaign_id"] for row in adsets} <= campaigns
    assert {row["adset_id"] for row in ads} <= {row["id"] for row in adsets}
    assert {row["creative"]["id"] for row in ads} <= {row["id"] for row in creatives}
    assert client.dropped_fields == {}

    end = yesterday(simulator)
    days = read_insights(client, account, end - timedelta(200), end, level="ad", grain="day")
    deleted = {row["ad_id"] for row in days.rows} - {row["id"] for row in ads}
    assert deleted
    for known in (account.account_id, None):
        found, errors = client.get_objects([*sorted(deleted), "5"], "ad", account_id=known)
        assert {row["id"]: row["effective_status"] for row in found} == dict.fromkeys(
            deleted, "DELETED"
        )
        assert set(errors) == {"5"}
        assert errors["5"].kind is ErrorKind.PERMISSION


def test_where_the_deleted_filter_is_refused_deleted_objects_still_come_by_id(
    connect: Callable[..., MetaAdsClient],
) -> None:
    with SimulatorServer(SimulatorConfig(accounts=1, ads=12, refuse_deleted_filter=True)) as strict:
        client = connect(graph_url=strict.url)
        (account,) = refs(client)
        end = strict.control.now().date() - timedelta(days=2)
        rows = read_insights(client, account, end, end, level="ad", grain="day").rows
        assert totals(rows) == truth(strict, account, end, end)
        listed = client.get_ads(account.account_id)
        assert "DELETED" not in {row["effective_status"] for row in listed}
        facts = {
            row["ad_id"]
            for row in read_insights(
                client, account, end - timedelta(200), end, level="ad", grain="day"
            ).rows
        }
        missing = facts - {row["id"] for row in listed}
        assert missing
        found, errors = client.get_objects(sorted(missing), "ad", account_id=account.account_id)
        assert {row["id"] for row in found} == missing
        assert errors == {}


def test_pages_that_come_short_or_empty_lose_nothing(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    client = connect(plan_limits=PlanLimits(page_size=50), entity_page_size=10)
    account, _ = refs(client)
    day = yesterday(simulator)
    whole = client.get_ads(account.account_id)
    simulator.control.add_fault("empty_page", match={"edge": "ads"}, probability=0.3)
    simulator.control.add_fault("short_page", probability=0.3, rows=3)
    assert client.get_ads(account.account_id) == whole
    rows = read_insights(client, account, day, day, level="ad", grain="hour").rows
    assert totals(rows) == truth(simulator, account, day, day)


def test_mixed_failures_end_in_the_right_numbers(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    """Every fifth call fails somehow, and cursors break; sync and async, four reads at once."""
    control = simulator.control
    for kind, params in (
        ("transient", {"code": 2}),
        ("transient", {"code": 1, "http_status": 500}),
        ("html", {"http_status": 200}),
        ("html", {"http_status": 502}),
        ("truncate", {"fraction": 0.5}),
        ("reset", {"fraction": 0.5}),
        ("rate_limit", {"code": 17, "subcode": 2446079}),
        ("report_failed", {}),
    ):
        control.add_fault(kind, probability=0.03, **params)
    control.add_fault("invalid_cursor", times=2)
    end = yesterday(simulator)
    start = end - timedelta(days=5)
    for limits in (PlanLimits(page_size=100), REPORTS):
        client = connect(plan_limits=limits)
        for account in refs(client):
            result = read_insights(client, account, start, end, level="ad", grain="hour")
            assert totals(result.rows) == truth(simulator, account, start, end)
            client.get_ads(account.account_id)
    assert sum(fault["fired"] for fault in control.faults()) > 5


def test_too_much_data_is_bisected(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    end = yesterday(simulator)
    start = end - timedelta(days=7)
    for variant in ("1", "1487534"):
        simulator.control.reset("faults", "stats")
        simulator.control.add_fault("reduce_data", max_rows=400, variant=variant)
        client = connect()
        account, _ = refs(client)
        result = read_insights(
            client, account, start, end, level="ad", grain="hour", rows_per_day=150
        )
        assert totals(result.rows) == truth(simulator, account, start, end)
        assert result.calls < 25


def test_a_single_day_above_the_limit_is_asked_by_objects(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    day = yesterday(simulator)
    simulator.control.add_fault("reduce_data", max_rows=60, variant="1487534")
    client = connect()
    account, _ = refs(client)
    rows = read_insights(client, account, day, day, level="ad", grain="hour").rows
    assert len(rows) > 120
    assert totals(rows) == truth(simulator, account, day, day)


@pytest.mark.parametrize(
    "fault", ["report_failed", "report_skipped", "report_stuck", "report_hundred_running"]
)
def test_a_job_that_goes_wrong_is_replaced(
    fault: str, simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    simulator.control.add_fault(fault, times=1)
    client = connect(plan_limits=REPORTS)
    account, _ = refs(client)
    end = yesterday(simulator)
    start = end - timedelta(days=5)
    result = read_insights(client, account, start, end, level="ad", grain="hour")
    assert totals(result.rows) == truth(simulator, account, start, end)
    assert simulator.control.faults()[0]["fired"] == 1


def test_a_field_that_cannot_be_fetched_goes_alone(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    simulator.control.add_fault("unfetchable_field", field="tracking_specs")
    simulator.control.add_fault("unfetchable_field", field="reach")
    client = connect()
    account, _ = refs(client)
    ads = client.get_ads(account.account_id)
    assert ads
    assert not any("tracking_specs" in row for row in ads)
    day = yesterday(simulator)
    result = read_insights(client, account, day, day, level="ad", grain="day")
    assert totals(result.rows) == truth(simulator, account, day, day)
    assert set(result.dropped_fields) == {"reach"}
    own = f"act_{account.account_id}"
    assert set(client.dropped_fields) == {f"ad/{own}", f"insights/ad/day/{own}"}


def test_a_broken_creative_does_not_stop_the_others(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    client = connect()
    account, _ = refs(client)
    whole = client.get_creatives(account.account_id)
    simulator.control.add_fault(
        "error", match={"params": {"fields": "object_story_spec"}}, code=100, subcode=2446211
    )
    assert [row["id"] for row in client.get_creatives(account.account_id)] == [
        row["id"] for row in whole
    ]


def test_a_dead_token_stops_after_one_call(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    client = connect()
    account, _ = refs(client)
    simulator.control.reset("stats")
    simulator.control.add_fault("token", subcode=463)
    with pytest.raises(MetaApiError) as caught:
        read_insights(
            client, account, yesterday(simulator), yesterday(simulator), level="ad", grain="day"
        )
    assert (caught.value.kind, caught.value.subcode) == (ErrorKind.AUTH, 463)
    assert "expired" in str(caught.value)
    assert simulator.control.stats()["calls"] == 1


def test_an_unknown_account_and_an_old_version(
    simulator: SimulatorServer, connect: Callable[..., MetaAdsClient]
) -> None:
    with pytest.raises(MetaApiError) as unknown:
        connect().get_account("999")
    assert unknown.value.kind is ErrorKind.PERMISSION
    assert "act_999" in str(unknown.value)
    with pytest.raises(MetaApiError, match="META_API_VERSION") as old:
        connect(api_version="v19.0").get_accounts()
    assert old.value.kind is ErrorKind.INVALID


def test_proof_inspection_and_exchange(connect: Callable[..., MetaAdsClient]) -> None:
    config = SimulatorConfig(
        accounts=1, ads=4, app_id="77", app_secret="s" * 32, require_proof=True
    )
    with SimulatorServer(config) as strict:
        good = connect(graph_url=strict.url, app_id="77", app_secret="s" * 32)
        assert len(good.get_accounts()) == 1
        assert good.inspect_token().is_valid
        new = good.exchange_token()
        assert new.access_token not in repr(new)
        again = connect(
            graph_url=strict.url, access_token=new.access_token, app_id="77", app_secret="s" * 32
        )
        assert len(again.get_accounts()) == 1
        for settings in ({}, {"app_id": "77", "app_secret": "t" * 32}):
            with pytest.raises(MetaApiError, match="META_APP_SECRET") as caught:
                connect(graph_url=strict.url, **settings).get_accounts()
            assert caught.value.kind is ErrorKind.AUTH


def test_first_load_of_ninety_days_costs_little_more_than_its_pages(
    connect: Callable[..., MetaAdsClient],
) -> None:
    """50 ads by the hour: peers need 1,351 calls and more."""
    with SimulatorServer(SimulatorConfig(accounts=1, ads=50, job_seconds=0.3)) as large:
        client = connect(graph_url=large.url, report_limits=ReportLimits(first_poll=0.5))
        (account,) = refs(client)
        end = large.control.now().date() - timedelta(days=2)
        start = end - timedelta(days=89)
        large.control.reset("stats")
        result = read_insights(client, account, start, end, level="ad", grain="hour")
        pages = -(-len(result.rows) // 1000)
        assert large.control.stats()["calls"] == result.calls
        assert result.calls <= 1.2 * (pages + 6)
        assert totals(result.rows) == truth(large, account, start, end)
        large.control.reset("stats")
        read_insights(client, account, end - timedelta(27), end, level="ad", grain="day")
        assert large.control.stats()["calls"] <= 3

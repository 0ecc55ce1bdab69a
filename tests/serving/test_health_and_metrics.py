"""Health and metrics over HTTP, as a probe and as Prometheus read them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.serving.conftest import change
from tests.serving.small_marts import fill


def test_health_tells_a_live_process_from_a_ready_one(service):
    assert service.get("/health/live").json()["status"] == "ok"
    ready = service.get("/health/ready").json()
    assert ready["status"] == "ok"
    assert ready["schema_version"]


def test_every_metric_can_be_read_and_prometheus_parses_it(service, deliver):
    deliver(change("field_changed", {"object_id": "1", "object_type": "ad"}))
    deliver({"odd": True})
    answer = service.get("/metrics")
    assert answer.status_code == 200
    families = {each.name: each for each in text_string_to_metric_families(answer.text)}
    assert families["meta_ads_metric_unreadable"].samples == []
    by_status = {s.labels["status"]: s.value for s in families["meta_ads_webhook_events"].samples}
    assert by_status == {"pending": 1, "kept": 1}
    (requests,) = families["meta_ads_webhook_requests"].samples
    assert (requests.name, requests.labels, requests.value) == (
        "meta_ads_webhook_requests_total",
        {"outcome": "accepted"},
        2,
    )


def test_a_metric_that_cannot_be_read_costs_no_other(service, database):
    with database.connect() as connection:
        connection.execute("alter table control.alerts rename column kind to renamed")
    families = {
        each.name: each for each in text_string_to_metric_families(service.get("/metrics").text)
    }
    (sample,) = families["meta_ads_metric_unreadable"].samples
    assert sample.labels == {"name": "meta_ads_alerts_open"}
    assert "meta_ads_slices" in families


def test_metrics_of_one_table_are_read_once_and_each_as_before(service, database):
    fill(database)
    with database.connect() as connection:
        connection.execute(
            "insert into control.slice_loads (account_id, partition_date, asset, started_at,"
            " loaded_at, rows_fetched, rows_inserted, rows_updated, rows_deleted, rows_unchanged,"
            " rows_dead_lettered, pulled_at)"
            " select '1', '2026-10-23', asset, now() - seconds * interval '1 second', now(), 9, 5,"
            " 4, 3, 0, 2, now()"
            " from (values ('ads', 2), ('ads', 4), ('adsets', null)) as l (asset, seconds)"
        )
        connection.execute(
            "insert into control.call_counts (connection, account_id, use_case, minute, calls,"
            " wasted) values ('main', '1', 'insights', now(), 7, 2)"
        )
    text = service.get("/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["meta_ads_landed_rows_total", "ads", "deleted"] == 6
    assert samples["meta_ads_landed_rows_total", "adsets", "inserted"] == 5
    assert samples["meta_ads_slice_loads_total", "ads"] == 2
    assert ("meta_ads_slice_loads_total", "adsets") not in samples  # never begun: removed only
    assert samples["meta_ads_slice_load_seconds_total", "ads"] == 6
    assert samples["meta_ads_api_calls_total", "1", "insights"] == 7
    assert samples["meta_ads_api_calls_wasted_total", "1", "insights"] == 2
    assert samples["meta_ads_held_account_days", "1"] == 1
    assert samples["meta_ads_is_late", "1"] == 0
    assert samples["meta_ads_restated_values_total", "1", "account_totals"] == 24
    assert samples["meta_ads_restated_spend_total", "1"] == 12
    names = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    assert names.count("meta_ads_slice_loads_total") == 1

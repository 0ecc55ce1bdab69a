"""Health and metrics over HTTP, as a probe and as Prometheus read them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.serving.conftest import change


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

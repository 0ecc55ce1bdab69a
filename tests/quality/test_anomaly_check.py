"""The check on anomalies: what it warns of, what it only shows, what it does not believe."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.quality.anomalies import judge


def row(key: str, **changes: Any) -> dict[str, Any]:
    """An open anomaly: 300 where 45 to 230 are usual."""
    return {
        **{"anomaly_key": key, "account_id": "1", "event_date": date(2026, 11, 19)},
        **{"kind": "spike", "value": Decimal(300), "expected": Decimal(100)},
        **{"expected_low": Decimal(45), "expected_high": Decimal(230), "score": Decimal("5.5")},
        **{"sentence": f"spend of {key}", "severity": "warn", **changes},
    }


def test_what_has_its_reason_is_shown_and_warns_of_nothing() -> None:
    paused = row("paused", kind="stopped", value=Decimal(0), severity="inform")
    report = judge([paused])
    assert report.passed
    assert report.rows == []
    assert report.description() == "nothing unusual; 1 for information"
    assert "spend of paused" in str(report.metadata()["for_information"].records)

    report = judge([row("a"), paused])
    assert not report.passed
    assert report.description() == "spend of a"
    metadata = report.metadata()
    assert metadata["anomalies"] == metadata["anomalies_spike"] == 1
    assert "'45.00 to 230.00'" in str(metadata["most_unusual"].records)
    assert "paused" not in str(metadata["most_unusual"].records)


def test_a_budget_has_no_lower_bound() -> None:
    report = judge([row("b", kind="over_budget", expected_low=None, score=None)])
    assert not report.passed
    assert "'up to 230.00'" in str(report.metadata()["most_unusual"].records)


def test_an_anomaly_inside_its_own_range_is_not_believed() -> None:
    report = judge([row("c", value=Decimal(200), severity="inform")])
    assert not report.passed
    assert "what is called unusual lies outside its own range" in report.description()

"""A field that Meta refuses is left out of the rows, alerted to, and no news once it is back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.meta_api.client import AccountRef, MetaAdsClient
from meta_ads_pipeline.raw.refused_fields import record_refused_fields
from meta_graph_simulator.config import DEFAULT_TOKEN
from meta_graph_simulator.http.server import SimulatorServer
from tests.insights_reading import read_insights

SUBJECT = "asset raw/insights_daily"


def test_refused_fields_are_alerted_to_until_they_are_back(
    database: Database, simulator: SimulatorServer
) -> None:
    def read() -> dict[str, str]:
        with MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as client:
            document = client.get_accounts()[0]
            account = AccountRef(
                document["account_id"], document["timezone_name"], document["currency"]
            )
            day = (datetime.now(UTC) - timedelta(days=3)).date()
            rows = read_insights(client, account, day, day, level="ad", grain="day").rows
            assert rows
            assert all(("reach" in row) == (not simulator.control.faults()) for row in rows)
            return record_refused_fields(
                database, "insights_daily", "insights/ad/day", [client.dropped_fields]
            )

    simulator.control.add_fault("unfetchable_field", field="reach")
    assert set(read()) == {"reach"}
    (raised,) = list_open_alerts(database, SUBJECT)
    assert "reach" in raised.alert.message
    assert raised.alert.what_to_do
    simulator.control.clear_faults()
    assert read() == {}
    assert list_open_alerts(database, SUBJECT) == []


def test_one_objects_trouble_is_not_the_assets(database: Database) -> None:
    dropped = {
        "creative/1203": {"object_story_spec": "refused"},
        "creative/act_1": {"body": "gone"},
    }
    assert record_refused_fields(database, "creatives", "creative", [dropped]) == {"body": "gone"}

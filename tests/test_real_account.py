"""A real ad account, played back by the simulator: the marts equal Meta's own answers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meta_graph_simulator import SimulatorConfig, SimulatorServer
from tests.conftest import copy_of_template
from tests.pipeline import Pipeline

pytestmark = pytest.mark.slow

REAL_WINDOW = ("2026-02-06", "2026-03-05")
REAL_ACCOUNT = "361744628296290"


@pytest.fixture(scope="module")
def real(
    postgres_url: str,
    built_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    shared_data: Path,
) -> Iterator[tuple[Pipeline, dict[str, Any]]]:
    """A real account, played back by the simulator, synced over its window."""
    config = SimulatorConfig(
        accounts=0, recordings=(shared_data / "real_account",), job_seconds=0.1
    )
    with (
        SimulatorServer(config) as server,
        copy_of_template(postgres_url, built_template) as database,
    ):
        pipeline = Pipeline(database, server, tmp_path_factory.mktemp("real"))
        yield pipeline, pipeline.sync(*REAL_WINDOW)


def test_the_real_account_syncs(real: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, report = real
    assert report["exit_code"] == 0, report
    statuses = pipeline.rows("select distinct status from marts.reconciliation")
    assert [row["status"] for row in statuses] == ["reconciled"]


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("file", "mart", "key"),
    [
        ("account_day.csv", "account_daily", "account_id"),
        ("campaign_day.csv", "campaign_daily", "campaign_id"),
        ("adset_day.csv", "adset_daily", "adset_id"),
    ],
)
def test_the_real_account_equals_metas_own_answers(
    real: tuple[Pipeline, dict[str, Any]], shared_data: Path, file: str, mart: str, key: str
) -> None:
    pipeline, _ = real
    meta = {
        (row[key], row["date_start"]): (
            Decimal(row["spend"]),
            int(row["impressions"]),
            int(row["clicks"]),
        )
        for row in _csv(shared_data / "real_account" / file)
        if REAL_WINDOW[0] <= row["date_start"] <= REAL_WINDOW[1]
    }
    ours = {
        (row["id"], row["event_date"].isoformat()): (
            row["spend"],
            row["impressions"],
            row["clicks"],
        )
        for row in pipeline.rows(
            f"select {key} as id, event_date, spend, impressions, clicks from marts.{mart}"
        )
    }
    assert ours == meta


def test_the_real_accounts_totals_and_actions(
    real: tuple[Pipeline, dict[str, Any]], shared_data: Path
) -> None:
    pipeline, _ = real
    expected = json.loads((shared_data / "real_account" / "expected_totals.json").read_text())
    total = pipeline.rows(
        "select sum(spend) as spend, sum(impressions)::int as impressions, sum(clicks)::int as"
        " clicks, sum(leads) as leads, sum(purchases) as purchases, sum(revenue) as revenue"
        " from marts.metric_facts"
    )[0]
    assert total["spend"] == Decimal(expected["totals"]["spend"])
    assert total["impressions"] == expected["totals"]["impressions"]
    assert total["clicks"] == expected["totals"]["clicks"]
    assert total["leads"] == 6, "three action types report the same six leads"
    assert total["purchases"] is None, "nothing was bought: missing, not zero"
    assert total["revenue"] is None
    by_ad = {
        row["ad_id"]: (row["spend"], row["impressions"], row["clicks"])
        for row in pipeline.rows(
            "select ad_id, sum(spend) as spend, sum(impressions)::int as impressions,"
            " sum(clicks)::int as clicks from marts.ad_daily group by 1"
        )
    }
    assert by_ad == {
        ad_id: (Decimal(ad["spend"]), ad["impressions"], ad["clicks"])
        for ad_id, ad in expected["by_ad"].items()
    }
    actions = {
        row["action_type"]: row["value"]
        for row in pipeline.rows(
            "select action.value ->> 'action_type' as action_type,"
            " sum((action.value ->> 'value')::numeric) as value"
            " from raw.insights_daily, jsonb_array_elements(actions) as action group by 1"
        )
    }
    for name, value in expected["actions_ad_level"].items():
        matching = [v for kind, v in actions.items() if kind.rpartition(".")[2] == name]
        assert Decimal(value) in matching, name


def test_the_real_accounts_oddities_survive(
    real: tuple[Pipeline, dict[str, Any]], shared_data: Path
) -> None:
    pipeline, _ = real

    # Impressions that cost nothing: 14 ad-days with spend 0, which are rows like any other.
    free = pipeline.rows(
        "select ad_id, event_date, impressions from marts.ad_daily where spend = 0"
    )
    assert len(free) == 14
    assert all(row["impressions"] > 0 for row in free)

    # 328 of 550 ad-days have no action at all: no conversion row, and null, not 0.
    without = pipeline.rows(
        "select d.ad_id, d.event_date, f.leads, f.purchases, f.conversions"
        " from raw.insights_daily as d join marts.ad_daily as f using (ad_id, event_date)"
        " where d.actions is null"
    )
    assert len(without) == 328
    assert {value for row in without for value in list(row.values())[2:]} == {None}
    assert not pipeline.rows(
        "select 1 from marts.conversions_daily as c join raw.insights_daily as d"
        " using (ad_id, event_date) where d.actions is null"
    )

    # Five names for one add to cart: two carts, not ten. Three of them are in the priority list.
    assert pipeline.rows(
        "select conversion, action_type, value, types_present, overlap"
        " from marts.conversions_daily where conversion = 'add_to_cart'"
    ) == [
        {
            "conversion": "add_to_cart",
            "action_type": "omni_add_to_cart",
            "value": 2,
            "types_present": 3,
            "overlap": "equal",
        }
    ]

    # A custom conversion is its own conversion, by id, and no lead.
    assert pipeline.rows(
        "select conversion, custom_conversion_id, conversion_name, sum(value) as value"
        " from marts.conversions_daily where conversion like 'custom%' group by 1, 2, 3"
    ) == [
        {
            "conversion": "custom:1612693103103149",
            "custom_conversion_id": "1612693103103149",
            "conversion_name": "webinar_form_submit",
            "value": 1,
        }
    ]

    # What the user switched on is not what runs: active ads in paused campaigns, with issues ..
    for file, dimension in [
        ("campaigns.csv", "dim_campaigns"),
        ("adsets.csv", "dim_adsets"),
        ("ads.csv", "dim_ads"),
    ]:
        key = dimension.removeprefix("dim_").removesuffix("s") + "_id"
        meta = {
            row["id"]: row["effective_status"] for row in _csv(shared_data / "real_account" / file)
        }
        ours = {
            row[key]: row["effective_status"]
            for row in pipeline.rows(f"select {key}, effective_status from marts.{dimension}")
        }
        assert ours == meta, dimension

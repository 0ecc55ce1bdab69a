"""Entities: budgets, goals, links, the tree, and what they were at another time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.transform.dbt_cli import dbt_cli
from meta_ads_pipeline.transform.dimensions import build_dimensions_now
from meta_ads_pipeline.transform.project import dbt_project
from meta_ads_pipeline.transform.relations import claim_relations
from meta_ads_pipeline.windows import DateWindow

from .warehouse import DIMENSIONS, PULLED, Warehouse


def land_version(
    warehouse: Warehouse, level: str, entity_id: str, at: datetime, document: Mapping[str, Any]
) -> None:
    """A document of an entity as the loader keeps it when it differs from the one before."""
    with warehouse.database.connect() as connection:
        connection.execute(
            "insert into raw.entity_versions values ('1', %s, %s, %s, %s, %s)",
            [level, entity_id, at, json.dumps(document), str(hash(json.dumps(document)))],
        )


def test_budgets_by_metas_own_offsets(warehouse: Warehouse) -> None:
    """Yen and forint have no minor units here, dinar has 100 although ISO 4217 says 1000."""
    budgets = {}
    for account_id, currency in enumerate(("EUR", "JPY", "HUF", "BHD"), start=1):
        warehouse.account(str(account_id), currency=currency)
        campaign = {"objective": "OUTCOME_SALES", "daily_budget": "5050", "spend_cap": "0"}
        warehouse.entity("campaigns", f"c{account_id}", str(account_id), campaign)
        warehouse.entity(
            "adsets",
            f"s{account_id}",
            str(account_id),
            {"bid_amount": 250, "lifetime_budget": "0"},
            campaign_id=f"c{account_id}",
        )
    warehouse.build(models=DIMENSIONS)
    for row in warehouse.rows(
        "select c.currency, c.daily_budget, c.spend_cap, s.bid_amount, s.lifetime_budget"
        " from marts.dim_campaigns as c join marts.dim_adsets as s using (campaign_id)"
        " where campaign_id like 'c_'"
    ):
        budgets[row["currency"]] = (row["daily_budget"], row["bid_amount"])
        assert (row["spend_cap"], row["lifetime_budget"]) == (None, None)
    assert budgets == {
        "EUR": (Decimal("50.50"), Decimal("2.50")),
        "JPY": (Decimal(5050), Decimal(250)),
        "HUF": (Decimal(5050), Decimal(250)),
        "BHD": (Decimal("50.50"), Decimal("2.50")),
    }


def test_entities_form_a_tree_and_deleted_ones_stay(warehouse: Warehouse) -> None:
    warehouse.account()
    warehouse.entity(
        "creatives",
        "41",
        "1",
        {
            "title": "Shoes",
            "object_story_spec": {"link_data": {"link": "https://x.example/a?utm_source=site&b=1"}},
            "url_tags": "utm_campaign=spring&utm_medium=paid",
        },
    )
    warehouse.execute("update raw.ads set is_deleted = true, name = 'Gone' where id = '1'")
    warehouse.build(models=DIMENSIONS)
    tree = warehouse.rows(
        "select e.level, e.external_entity_id, p.level as parent from marts.entities as e"
        " left join marts.entities as p on e.parent_id = p.entity_id"
        " where e.external_entity_id in ('1', '21', '31', '41') order by 1, 2"
    )
    assert [(row["level"], row["parent"]) for row in tree] == [
        ("account", None),
        ("ad", "adset"),
        ("adset", "campaign"),
        ("campaign", "account"),
        ("creative", "account"),
    ]
    (ad,) = warehouse.rows("select name, is_deleted, goal from marts.dim_ads where ad_id = '1'")
    assert ad == {"name": "Gone", "is_deleted": True, "goal": "sales"}
    (creative,) = warehouse.rows("select * from marts.dim_creatives")
    assert (creative["title"], creative["link_url"]) == (
        "Shoes",
        "https://x.example/a?utm_source=site&b=1",
    )
    utm = [creative[f"utm_{name}"] for name in ("source", "medium", "campaign", "term")]
    assert utm == ["site", "paid", "spring", None]


def test_dimensions_are_not_built_beside_a_run_or_on_older_views(warehouse: Warehouse) -> None:
    """What a webhook's sensor leaves to a run. That it builds: ``benchmarks.latency``."""
    dbt, window = dbt_cli(dbt_project()), DateWindow(PULLED.date(), PULLED.date())
    warehouse.execute("comment on schema staging is null")
    assert not build_dimensions_now(dbt, warehouse.database, window), "views of an older project"
    claim_relations(warehouse.database)
    with warehouse.database.exclusive("marts"):
        assert not build_dimensions_now(dbt, warehouse.database, window), "a run is writing"


def test_history_is_ranges_of_what_matters(warehouse: Warehouse) -> None:
    warehouse.account()
    hour = timedelta(hours=1)
    first = {"name": "A", "status": "ACTIVE", "daily_budget": "1000", "budget_remaining": "900"}
    land_version(warehouse, "campaign", "21", PULLED, first)
    land_version(warehouse, "campaign", "21", PULLED + hour, {**first, "budget_remaining": "500"})
    land_version(warehouse, "campaign", "21", PULLED + 2 * hour, {**first, "status": "PAUSED"})
    land_version(warehouse, "campaign", "22", PULLED, first)
    warehouse.build(tests=False, models=DIMENSIONS)
    untouched = "select ctid, xmin::text from marts.entity_history where external_entity_id = '22'"
    before = warehouse.rows(untouched)

    land_version(warehouse, "campaign", "21", PULLED + 3 * hour, {**first, "name": "B"})
    warehouse.build(models=DIMENSIONS)
    assert warehouse.rows(untouched) == before
    ranges = warehouse.rows(
        "select valid_from, valid_to, name, status, daily_budget, versions, changed_fields"
        " from marts.entity_history where external_entity_id = '21' order by valid_from"
    )
    assert [tuple(row.values()) for row in ranges] == [
        (PULLED, PULLED + 2 * hour, "A", "ACTIVE", Decimal(10), 2, None),
        (PULLED + 2 * hour, PULLED + 3 * hour, "A", "PAUSED", Decimal(10), 1, ["status"]),
        (PULLED + 3 * hour, None, "B", "ACTIVE", Decimal(10), 1, ["name", "status"]),
    ]
    changed_since = warehouse.rows(
        "select external_entity_id, changed_fields from marts.entity_history"
        " where changed_fields is not null and valid_from >= %s order by valid_from",
        PULLED + 3 * hour,
    )
    assert [tuple(row.values()) for row in changed_since] == [("21", ["name", "status"])]

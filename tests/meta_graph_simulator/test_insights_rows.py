"""The look of insights rows: texts, absent keys, overlapping action types, derived fields."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from meta_graph_simulator.accounts.generator import GeneratedAccount
from meta_graph_simulator.graph.fields import catalogue
from meta_graph_simulator.insights.run import run
from tests.meta_graph_simulator.generated_accounts import (
    COUNTS,
    HOURLY,
    LISTS,
    SINCE,
    account,
    query,
)


@pytest.fixture(scope="module")
def source() -> GeneratedAccount:
    return account()


def test_default_fields(source: GeneratedAccount) -> None:
    dates = {"date_start", "date_stop"}
    ids = {"account": {"account_id"}, "campaign": {"account_id", "campaign_id"}}
    ids["ad"] = ids["campaign"] | {"adset_id", "ad_id"}
    for level, expected in ids.items():
        rows = run(source, query(level=level, fields=None))
        assert all(set(row) == expected | dates | {"impressions", "spend"} for row in rows)


def test_every_known_field_is_accepted_and_is_text_or_list(source: GeneratedAccount) -> None:
    rows = run(source, query(level="ad", fields=tuple(sorted(catalogue("insights")))))
    assert rows
    for row in rows:
        for name, value in row.items():
            if isinstance(value, list):
                assert value, name
                assert all(isinstance(v, str) for item in value for v in item.values())
            else:
                assert isinstance(value, str), name
    seen = {name for row in rows for name in row}
    assert seen >= {
        *("ad_name", "adset_name", "campaign_name", "account_name", "account_currency"),
        *("objective", "buying_type", "optimization_goal", "attribution_setting", "reach"),
        *("frequency", "ctr", "cpc", "cpm", "cpp", "unique_clicks", "cost_per_action_type"),
        *("purchase_roas", "website_purchase_roas", "conversions", "outbound_clicks"),
        *("video_p25_watched_actions", "video_thruplay_watched_actions", "quality_ranking"),
    }


def test_ratios_are_those_of_the_row(source: GeneratedAccount) -> None:
    fields = (*COUNTS, *LISTS, "ctr", "cpc", "cpm", "cpp", "frequency", "reach")
    fields += ("cost_per_action_type", "purchase_roas")
    for row in run(source, query(level="adset", fields=fields)):
        spend, shown, clicks = (Decimal(row[name]) for name in ("spend", "impressions", "clicks"))
        if not shown:
            assert "ctr" not in row
            continue
        near = Decimal("0.000001")
        assert abs(Decimal(row["ctr"]) - 100 * clicks / shown) <= near
        assert abs(Decimal(row["cpm"]) - 1000 * spend / shown) <= near
        assert abs(Decimal(row["frequency"]) - shown / Decimal(row["reach"])) <= near
        assert Decimal(row["frequency"]) >= 1
        assert ("cpc" in row) == bool(clicks)
        values = {item["action_type"]: Decimal(item["value"]) for item in row.get("actions", ())}
        for item in row.get("cost_per_action_type", ()):
            cost = Decimal(item["value"])
            assert abs(cost - spend / values[item["action_type"]]) <= near
        for item in row.get("purchase_roas", ()):
            revenue = {a["action_type"]: Decimal(a["value"]) for a in row["action_values"]}
            assert abs(Decimal(item["value"]) - revenue[item["action_type"]] / spend) <= near


def test_yen_rows_have_no_decimals() -> None:
    found = account(markets=(("JPY", "Asia/Tokyo"),))
    rows = run(found, query(level="ad", fields=(*COUNTS, "action_values", "cpc")))
    assert all("." not in row["spend"] for row in rows)
    values = [item["value"] for row in rows for item in row.get("action_values", ())]
    assert values
    assert not any("." in value for value in values)
    by_cpc = [row for row in rows if "cpc" in row and row["spend"] != "0"]
    assert all(
        abs(Decimal(row["cpc"]) * int(row["clicks"]) - int(row["spend"])) < 1 for row in by_cpc
    )


def test_rows_only_where_there_was_activity(source: GeneratedAccount) -> None:
    rows = run(source, query(level="ad", time_increment=1, breakdowns=(HOURLY,)))
    assert rows
    assert all(int(row["impressions"]) > 0 for row in rows)
    assert any("actions" not in row for row in rows)
    delivered = sum(
        int((source.delivery(SINCE + timedelta(days=n)).hours[:, :, 1] > 0).sum())
        for n in range(14)
    )
    assert len(rows) == delivered


def test_late_conversions_have_a_row_without_delivery() -> None:
    found = account(ads=60)
    rows = run(
        found, query(level="ad", time_increment=1, fields=("ad_id", *COUNTS, "actions", "ctr"))
    )
    late = [row for row in rows if row["impressions"] == "0"]
    assert late
    assert all(row["spend"] == "0" and row["actions"] and "ctr" not in row for row in late)


def test_reach_is_no_sum(source: GeneratedAccount) -> None:
    fields = ("reach", "impressions")
    days = [int(row["reach"]) for row in run(source, query(fields=fields, time_increment=1))]
    (whole,) = run(source, query(fields=fields))
    assert max(days) < int(whole["reach"]) < sum(days)
    assert int(whole["reach"]) <= int(whole["impressions"])


def test_action_types_overlap() -> None:
    (row,) = run(account(ads=40), query())
    counts = {item["action_type"]: int(item["value"]) for item in row["actions"]}
    pixel, app = "offsite_conversion.fb_pixel_purchase", "app_custom_event.fb_mobile_purchase"
    assert counts["omni_purchase"] == counts["purchase"] > counts[pixel] > 0
    assert counts["omni_purchase"] == counts[pixel] + counts[app] + counts["web_in_store_purchase"]
    leads = counts["onsite_conversion.lead_grouped"] + counts["offsite_conversion.fb_pixel_lead"]
    assert counts["lead"] == leads
    assert counts["page_engagement"] > counts["post_engagement"] > counts["link_click"]
    custom = [name for name in counts if name.startswith("offsite_conversion.custom.")]
    assert len(custom) == 1


def test_an_account_without_omni_types() -> None:
    found = account(2)
    (row,) = run(found, query(fields=("actions", "purchase_roas")))
    names = {item["action_type"] for item in row["actions"]}
    assert "purchase" in names
    assert not any(name.startswith("omni_") for name in names)
    assert row["purchase_roas"][0]["action_type"] == "purchase"


def test_windows_only_where_asked_and_not_zero(source: GeneratedAccount) -> None:
    (plain,) = run(source, query())
    assert all(set(item) == {"action_type", "value"} for item in plain["actions"])
    (dead,) = run(source, query(action_attribution_windows=("7d_view", "28d_view", "default")))
    assert dead == plain
    (asked,) = run(source, query(action_attribution_windows=("1d_view", "7d_click")))
    items = {item["action_type"]: item for item in asked["actions"]}
    assert "1d_view" not in items["link_click"]
    assert int(items["omni_purchase"]["1d_view"]) > 0
    assert [item["value"] for item in asked["actions"]] == [i["value"] for i in plain["actions"]]


def test_attribution_setting_of_mixed_ad_sets(source: GeneratedAccount) -> None:
    (row,) = run(source, query(fields=("attribution_setting",)))
    assert row["attribution_setting"] == "multiple"
    adsets = run(source, query(level="adset", fields=("adset_id", "attribution_setting")))
    for found in adsets:
        spec = source.entities().by_id["adset"][found["adset_id"]]["attribution_spec"]
        click = f"{spec[0]['window_days']}d_click"
        view = "1d_view_" if any(s["event_type"] == "VIEW_THROUGH" for s in spec) else ""
        engaged = "_1d_ev" if any(s["event_type"] == "ENGAGED_VIDEO_VIEW" for s in spec) else ""
        assert found["attribution_setting"] == f"{view}{click}{engaged}"


def test_reactions_sum_back(source: GeneratedAccount) -> None:
    (plain,) = run(source, query(fields=("actions",)))
    (split,) = run(source, query(fields=("actions",), action_breakdowns=("action_reaction",)))
    whole = next(i for i in plain["actions"] if i["action_type"] == "post_reaction")
    parts = [i for i in split["actions"] if i["action_type"] == "post_reaction"]
    assert {"like", "love", "haha"} <= {part["action_reaction"] for part in parts}
    assert sum(int(part["value"]) for part in parts) == int(whole["value"])
    others = [i for i in split["actions"] if i["action_type"] != "post_reaction"]
    assert not any("action_reaction" in item for item in others)


def test_video_counts_shrink_along_the_video(source: GeneratedAccount) -> None:
    quartiles = ("p25", "p50", "p75", "p95", "p100")
    fields = tuple(f"video_{name}_watched_actions" for name in quartiles)
    (row,) = run(source, query(fields=fields))
    counts = [int(row[name][0]["value"]) for name in fields]
    assert counts == sorted(counts, reverse=True)
    by_ad: Counter[str] = Counter()
    for found in run(source, query(level="ad", time_increment=1, fields=fields)):
        for name in fields:
            by_ad[name] += int(found[name][0]["value"]) if name in found else 0
    assert [by_ad[name] for name in fields] == counts


def test_costs_and_returns_by_window(source: GeneratedAccount) -> None:
    fields = ("spend", *LISTS, "cost_per_action_type", "purchase_roas")
    fields += ("cost_per_outbound_click", "cost_per_inline_post_engagement", "outbound_clicks")
    (row,) = run(source, query(fields=fields, action_attribution_windows=("1d_view", "7d_click")))
    by_type = {
        name: {item["action_type"]: item for item in row[name]}
        for name in ("actions", "action_values", "cost_per_action_type", "purchase_roas")
    }
    spend, near = Decimal(row["spend"]), Decimal("0.000001")
    for window in ("value", "1d_view", "7d_click"):
        count = Decimal(by_type["actions"]["purchase"][window])
        value = Decimal(by_type["action_values"]["omni_purchase"][window])
        cost = Decimal(by_type["cost_per_action_type"]["purchase"][window])
        assert abs(cost - spend / count) <= near
        roas = Decimal(by_type["purchase_roas"]["omni_purchase"][window])
        assert abs(roas - value / spend) <= near
    outbound = Decimal(row["outbound_clicks"][0]["value"])
    assert abs(Decimal(row["cost_per_outbound_click"][0]["value"]) - spend / outbound) <= near
    engaged = Decimal(by_type["actions"]["post_engagement"]["value"])
    assert abs(Decimal(row["cost_per_inline_post_engagement"]) - spend / engaged) <= near

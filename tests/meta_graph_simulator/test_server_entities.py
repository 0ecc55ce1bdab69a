"""Entity edges and node reads over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

REMOVED = {"ARCHIVED", "DELETED"}
EVERY_STATUS = ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "CAMPAIGN_PAUSED", "WITH_ISSUES"]


def every_adset(graph: Any, account: str) -> list[dict[str, Any]]:
    return graph.data(
        f"{account}/adsets", fields="effective_status,name", effective_status=EVERY_STATUS
    )


def test_me_and_its_accounts(graph: Any) -> None:
    me = graph.ok(graph.get("me"))
    assert set(me) == {"id", "name"}
    accounts = graph.data("me/adaccounts")
    assert [set(row) for row in accounts] == [{"id", "account_id"}] * 2
    for row in accounts:
        assert row["id"] == f"act_{row['account_id']}"
    assert graph.data(f"{me['id']}/adaccounts") == accounts


def test_me_expands_its_accounts(graph: Any) -> None:
    me = graph.ok(graph.get("me", fields="name,adaccounts{currency}"))
    assert {a["currency"] for a in me["adaccounts"]["data"]} == {"EUR", "USD"}


def test_without_fields_only_the_id_comes_back(graph: Any, account: str) -> None:
    for edge in ("campaigns", "adsets", "ads", "adcreatives"):
        rows = graph.ok(graph.get(f"{account}/{edge}"))["data"]
        assert rows
        assert all(set(row) == {"id"} for row in rows)


@pytest.mark.parametrize("path", ["{a}/campaigns/", "{a}/campaigns"])
@pytest.mark.parametrize("fields", ["id,name", ["id", "name"], ["id,name"], "['id', 'name']"])
def test_trailing_slash_and_both_forms_of_fields(
    graph: Any, account: str, path: str, fields: Any
) -> None:
    rows = graph.ok(graph.get(path.format(a=account), fields=fields))["data"]
    assert all(set(row) == {"id", "name"} for row in rows)


def test_bearer_header_and_body_token(graph: Any, account: str) -> None:
    url = graph.url(account)
    bearer = graph.session.get(url, headers={"Authorization": "Bearer X"})
    assert bearer.json()["id"] == account
    form = graph.session.post(
        url + "/insights", data={"access_token": "X", "fields": "spend", "date_preset": "today"}
    )
    assert form.json()["report_run_id"]
    error = graph.error(graph.session.get(url))
    assert error["code"] == 104


def test_node_reads_of_every_kind(graph: Any, account: str) -> None:
    for edge in ("campaigns", "adsets", "ads", "adcreatives"):
        row = graph.ok(graph.get(f"{account}/{edge}", fields="name", limit=1))["data"][0]
        assert graph.ok(graph.get(row["id"], fields="name")) == row
        assert graph.ok(graph.get(row["id"] + "/")) == {"id": row["id"]}


def test_edges_below_objects_agree_with_the_account(graph: Any, account: str) -> None:
    ads = graph.data(f"{account}/ads", fields="adset_id,campaign_id,creative")
    adset_id, campaign_id = ads[0]["adset_id"], ads[0]["campaign_id"]
    expected = {ad["id"] for ad in ads if ad["adset_id"] == adset_id}
    assert {row["id"] for row in graph.data(f"{adset_id}/ads")} == expected
    expected = {ad["id"] for ad in ads if ad["campaign_id"] == campaign_id}
    assert {row["id"] for row in graph.data(f"{campaign_id}/ads")} == expected
    creative = graph.data(f"{ads[0]['id']}/adcreatives")
    assert creative == [ads[0]["creative"]]
    assert set(ads[0]["creative"]) == {"id"}


def test_nested_expansion(graph: Any, account: str) -> None:
    campaigns = graph.data(
        f"{account}/campaigns",
        fields="name,adsets.limit(1){id,name,campaign{name},promoted_object{pixel_id}}",
    )
    nested = [row for row in campaigns if "adsets" in row]
    assert nested
    for row in nested:
        adsets = row["adsets"]["data"]
        assert len(adsets) == 1
        assert adsets[0]["campaign"] == {"name": row["name"], "id": row["id"]}
        assert set(adsets[0].get("promoted_object", {})) <= {"pixel_id"}
    many = [row for row in nested if "next" in row["adsets"]["paging"]]
    for row in many:
        follow = graph.session.get(row["adsets"]["paging"]["next"]).json()
        assert follow["data"][0]["id"] != row["adsets"]["data"][0]["id"]


def test_insights_nested_in_ads(graph: Any, account: str) -> None:
    ads = graph.data(
        f"{account}/ads", fields="insights.date_preset(last_7d).time_increment(1){spend,ad_id}"
    )
    with_rows = [ad for ad in ads if "insights" in ad]
    assert with_rows
    for ad in with_rows:
        assert {row["ad_id"] for row in ad["insights"]["data"]} == {ad["id"]}
        assert len(ad["insights"]["data"]) <= 7


def test_unknown_fields_are_refused(graph: Any, account: str) -> None:
    error = graph.error(graph.get(f"{account}/adsets", fields="name,colour"))
    assert error["code"] == 100
    assert error["message"] == (
        "(#100) Tried accessing nonexisting field (colour) on node type (AdSet)"
    )
    assert error["type"] == "OAuthException"
    assert error["fbtrace_id"]
    error = graph.error(graph.get(account, fields="adsets{colour}"))
    assert "(colour) on node type (AdSet)" in error["message"]
    assert graph.error(graph.get(f"{account}/nonsense"))["code"] == 100


def test_syntax_error_in_fields(graph: Any, account: str) -> None:
    assert graph.error(graph.get(f"{account}/ads", fields="name,creative{id"))["code"] == 2500


def test_archived_and_deleted_are_hidden_but_readable_by_id(graph: Any, account: str) -> None:
    plain = graph.data(f"{account}/adsets", fields="effective_status")
    assert plain
    assert not REMOVED & {row["effective_status"] for row in plain}
    everything = every_adset(graph, account)
    hidden = [row for row in everything if row["effective_status"] in REMOVED]
    assert hidden
    assert len(everything) == len(plain) + len(hidden)
    for row in hidden:
        assert graph.ok(graph.get(row["id"], fields="effective_status,name")) == row
    archived = graph.data(
        f"{account}/adsets",
        filtering=[{"field": "effective_status", "operator": "IN", "value": ["ARCHIVED"]}],
    )
    assert {row["id"] for row in archived} == {
        row["id"] for row in hidden if row["effective_status"] == "ARCHIVED"
    }


def test_status_parameter_is_checked(graph: Any, account: str) -> None:
    error = graph.error(graph.get(f"{account}/campaigns", effective_status=["SLEEPING"]))
    assert error["code"] == 100
    assert "effective_status[0] must be one of" in error["message"]
    comma = graph.get(f"{account}/campaigns", effective_status="ACTIVE,PAUSED")
    assert graph.ok(comma)["data"]
    # dlt sends the statuses of ads to every edge.
    assert graph.ok(graph.get(f"{account}/campaigns", effective_status=["ADSET_PAUSED"])) == {
        "data": []
    }


def test_filter_operators(graph: Any, account: str) -> None:
    ads = graph.data(f"{account}/ads", fields="name,updated_time,campaign_id")
    assert len(ads) > 3

    def found(field: str, operator: str, value: Any) -> set[str]:
        condition = [{"field": field, "operator": operator, "value": value}]
        return {row["id"] for row in graph.data(f"{account}/ads", filtering=condition)}

    ids = {ad["id"] for ad in ads}
    one = ads[0]
    assert found("ad.id", "EQUAL", one["id"]) == {one["id"]}
    assert found("id", "NOT_IN", [one["id"]]) == ids - {one["id"]}
    assert found("name", "CONTAIN", one["name"].upper()) >= {one["id"]}
    assert one["id"] not in found("name", "NOT_CONTAIN", one["name"])
    assert found("name", "STARTS_WITH", one["name"][:3]) >= {one["id"]}
    assert found("campaign.id", "IN", [one["campaign_id"]]) == {
        ad["id"] for ad in ads if ad["campaign_id"] == one["campaign_id"]
    }
    moments = sorted(int(datetime.fromisoformat(ad["updated_time"]).timestamp()) for ad in ads)
    middle = moments[len(moments) // 2]
    later = found("ad.updated_time", "GREATER_THAN", middle)
    assert later | found("ad.updated_time", "LESS_THAN_OR_EQUAL", middle) == ids
    assert later & found("updated_time", "LESS_THAN_OR_EQUAL", middle) == set()
    assert found("updated_time", "IN_RANGE", [moments[0], moments[-1]]) == ids


@pytest.mark.parametrize(
    "filtering",
    ["{", [{"field": "name"}], [{"field": "name", "operator": "SOUNDS_LIKE", "value": "x"}], "3"],
)
def test_malformed_filters_are_refused(graph: Any, account: str, filtering: Any) -> None:
    assert graph.error(graph.get(f"{account}/ads", filtering=filtering))["code"] == 100


def test_summary_counts_what_the_filter_leaves(graph: Any, account: str) -> None:
    page = graph.ok(graph.get(f"{account}/campaigns", summary="true", limit=1))
    assert page["summary"] == {"total_count": len(graph.data(f"{account}/campaigns"))}
    page = graph.ok(graph.get(f"{account}/ads", summary='["total_count"]', limit=1))
    assert page["summary"]["total_count"] == len(graph.data(f"{account}/ads"))
    assert graph.error(graph.get(f"{account}/ads", summary="spend"))["code"] == 100


def test_unknown_objects(graph: Any) -> None:
    for path in ("5", "act_5", "5/insights", "act_5/campaigns"):
        error = graph.error(graph.get(path))
        assert (error["code"], error["error_subcode"]) == (100, 33)
        assert error["type"] == "GraphMethodException"
    response = graph.get("some_page")
    assert response.status_code == 404
    assert graph.error(response)["code"] == 803


def test_deleting_between_calls(graph: Any, account: str) -> None:
    campaign = graph.data(f"{account}/campaigns")[0]["id"]
    ads = graph.data(f"{campaign}/ads")
    graph.control.delete_object(campaign)
    assert campaign not in {row["id"] for row in graph.data(f"{account}/campaigns")}
    assert graph.ok(graph.get(campaign, fields="status"))["status"] == "DELETED"
    remaining = {row["id"] for row in graph.data(f"{account}/ads")}
    assert not remaining & {ad["id"] for ad in ads}
    graph.control.delete_object(ads[0]["id"], purge=True)
    assert graph.error(graph.get(ads[0]["id"]))["error_subcode"] == 33
    graph.control.reset("data")
    assert campaign in {row["id"] for row in graph.data(f"{account}/campaigns")}


def test_lesser_edges(graph: Any, account: str) -> None:
    assert graph.data(f"{account}/adimages") == []
    conversions = graph.ok(graph.get(f"{account}/customconversions", fields="name"))["data"]
    assert all(set(row) == {"id", "name"} for row in conversions)
    reported = {
        action["action_type"]
        for row in graph.data(f"{account}/insights", fields="actions", date_preset="last_30d")
        for action in row["actions"]
        if action["action_type"].startswith("offsite_conversion.custom.")
    }
    assert reported <= {f"offsite_conversion.custom.{row['id']}" for row in conversions}
    assert graph.ok(graph.post(f"{account}/subscribed_apps")) == {"success": True}
    assert len(graph.ok(graph.get(f"{account}/subscribed_apps"))["data"]) == 1
    business = graph.ok(graph.get(account, fields="business"))["business"]
    owned = graph.data(f"{business['id']}/owned_ad_accounts")
    assert account in {row["id"] for row in owned}
    granted = graph.ok(graph.get("me/permissions"))["data"]
    assert {"permission": "ads_read", "status": "granted"} in granted


def test_membership_in_businesses(graph: Any, account: str) -> None:
    """Airbyte asks for the user's tasks on an account before it reads the account."""
    members = graph.ok(graph.get("me/business_users"))["data"]
    assigned = [
        user
        for member in members
        for user in graph.ok(
            graph.get(f"{account}/assigned_users", business=member["business"]["id"])
        )["data"]
    ]
    assert {user["id"] for user in assigned} & {member["id"] for member in members}
    assert all("ANALYZE" in user["tasks"] for user in assigned)


def test_retired_fields_by_version(graph: Any, account: str) -> None:
    graph.control.configure(live_versions=["v21.0", "v26.0"])
    fields = "name,instagram_actor_id"
    assert graph.error(graph.get(f"{account}/adcreatives", fields=fields))["code"] == 100
    insights = "spend,marketing_messages_website_purchase_values"
    assert graph.error(graph.get(f"{account}/insights", fields=insights))["code"] == 100
    graph.version = "v21.0"
    assert graph.get(f"{account}/adcreatives", fields=fields).status_code == 200
    assert "spend" in graph.data(f"{account}/insights", fields=insights)[0]


def test_ids_and_versions(graph: Any, account: str) -> None:
    assert graph.error(graph.get("", ids=account))["code"] == 100
    graph.version = "v25.0"
    assert graph.get(account).headers["facebook-api-version"] == "v25.0"
    graph.version = "v24.0"
    assert graph.error(graph.get(account))["code"] == 2635
    graph.version = "v99.0"
    assert graph.error(graph.get(account))["code"] == 2500
    unversioned = graph.session.get(f"{graph.server.url}/{account}", params={"access_token": "x"})
    assert graph.error(unversioned)["code"] == 2635
    graph.control.configure(auto_upgrade_expired=True)
    graph.version = "v21.0"
    upgraded = graph.get(account)
    assert upgraded.headers["facebook-api-version"] == "v25.0"
    assert "X-Ad-Api-Version-Warning" in upgraded.headers


def test_equal_compares_texts_and_keys_need_no_quotes(graph: Any, account: str) -> None:
    ads = graph.data(f"{account}/ads", fields="name,effective_status", limit=100)
    name = ads[0]["name"]
    condition = {"field": "ad.name", "operator": "EQUAL", "value": name}
    found = graph.data(f"{account}/ads", fields="name", filtering=[condition])
    assert [ad["name"] for ad in found] == [ad["name"] for ad in ads if ad["name"] == name]
    other = condition | {"operator": "NOT_EQUAL"}
    assert name not in [
        ad["name"] for ad in graph.data(f"{account}/ads", fields="name", filtering=[other])
    ]
    for text in (
        f"[{{field:'ad.name',operator:'EQUAL',value:'{name}'}}]",
        f'[{{field: "ad.name", operator: "EQUAL", value: "{name}"}}]',
    ):
        assert graph.data(f"{account}/ads", fields="name", filtering=text) == found
    rows = graph.data(
        f"{account}/insights",
        level="ad",
        fields="ad_name",
        filtering="[{field:'campaign.effective_status',operator:'EQUAL',value:'ACTIVE'}]",
    )
    assert rows


def test_leads_of_an_ad(graph: Any, account: str) -> None:
    counted = graph.data(
        f"{account}/insights",
        level="ad",
        fields="ad_id,actions",
        time_range={"since": "2026-11-01", "until": "2026-11-19"},
        limit=100,
    )
    forms = {
        row["ad_id"]: int(item["value"])
        for row in counted
        for item in row.get("actions", [])
        if item["action_type"] == "onsite_conversion.lead_grouped"
    }
    ad, count = max(forms.items(), key=lambda item: item[1])
    leads = graph.data(f"{ad}/leads", fields="id,created_time,ad_id,form_id,field_data", limit=7)
    inside = [lead for lead in leads if "2026-11-01" <= lead["created_time"][:10] <= "2026-11-19"]
    assert len(inside) == count > 0
    assert len({lead["id"] for lead in leads}) == len(leads)
    assert {lead["ad_id"] for lead in leads} == {ad}
    assert {"email", "full_name"} <= {item["name"] for item in leads[0]["field_data"]}
    newer = {"field": "time_created", "operator": "GREATER_THAN", "value": 1795036000}
    assert len(graph.data(f"{ad}/leads", filtering=[newer])) < len(leads)
    assert graph.get(f"{ad}/leads", fields="nonsense").status_code == 400


def test_a_custom_conversion_is_read_by_id_and_by_page(graph: Any, account: str) -> None:
    first = graph.ok(graph.get(f"{account}/customconversions", fields="name", limit=1))
    assert len(first["data"]) == 1
    assert "next" in first["paging"]
    one = graph.ok(graph.get(first["data"][0]["id"], fields="name,rule"))
    assert one["name"] == first["data"][0]["name"]
    assert graph.get(one["id"], fields="nonsense").status_code == 400

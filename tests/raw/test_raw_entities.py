"""Documents of entities -> rows, and the hash that says whether one really changed."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_ads_pipeline.raw.entities import ENTITY_TABLES, document_hash, normalize_entities
from meta_ads_pipeline.raw.json_text import json_text

AD = {"id": "1201", "account_id": "1", "campaign_id": "11", "adset_id": "21", "name": "An ad"}


def test_an_ad_s_columns_come_out_of_its_document():
    document = {**AD, "status": "PAUSED", "effective_status": "ADSET_PAUSED", "creative": {"id": 5}}
    ((row,), bad) = normalize_entities([document], ENTITY_TABLES["ad"], "1")
    assert bad == []
    assert (row.id, row.is_deleted) == ("1201", False)
    assert row.columns == {
        "name": "An ad",
        "status": "PAUSED",
        "effective_status": "ADSET_PAUSED",
        "campaign_id": "11",
        "adset_id": "21",
        "creative_id": "5",
    }
    assert json.loads(row.document) == document


def test_recorded_entities_are_read_without_loss(shared_data: Path):
    folder = shared_data / "api_samples/entities"
    for name, kind in (("01", "campaign"), ("02", "campaign"), ("04", "creative")):
        sample = json.loads((folder / f"{name}.json").read_text())
        documents = sample if isinstance(sample, list) else sample.get("data", [sample])
        assert documents
        for document in documents:
            account_id = str(document.get("account_id", "1")).removeprefix("act_")
            table = ENTITY_TABLES[kind]
            (rows, bad) = normalize_entities([{**document, "id": "77"}], table, account_id)
            assert bad == []
            assert json.loads(rows[0].document) == {**document, "id": "77"}


@pytest.mark.parametrize("members", [{"status": "DELETED"}, {"effective_status": "DELETED"}])
def test_a_deleted_status_makes_the_row_deleted(members):
    ((row,), _) = normalize_entities([{**AD, **members}], ENTITY_TABLES["ad"], "1")
    assert row.is_deleted


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("x", "expected a JSON object, got 'x'"),
        ({**AD, "id": None}, "id: expected a value (the field is required)"),
        ({**AD, "id": "act_1"}, "id: expected an id of digits, got 'act_1'"),
        ({**AD, "account_id": "2"}, "account_id: expected the account asked for (1), got '2'"),
        ({**AD, "adset_id": None}, "adset_id: expected a value (the field is required)"),
        ({**AD, "name": ["x"]}, "name: expected text, got ['x']"),
    ],
)
def test_a_bad_document_does_not_cost_the_others(document, reason):
    good = {**AD, "id": "1202"}
    rows, bad = normalize_entities([document, good], ENTITY_TABLES["ad"], "1")
    assert [row.id for row in rows] == ["1202"]
    assert [each.reason for each in bad] == [reason]


def test_of_two_documents_with_one_id_the_later_wins():
    rows, _ = normalize_entities([AD, {**AD, "name": "New"}], ENTITY_TABLES["ad"], "1")
    assert [row.columns["name"] for row in rows] == ["New"]


def test_a_document_without_account_is_taken_as_the_account_s():
    document = {key: value for key, value in AD.items() if key != "account_id"}
    rows, bad = normalize_entities([document], ENTITY_TABLES["ad"], "1")
    assert (len(rows), bad) == (1, [])


CREATIVE = {
    "id": "5",
    "title": "Buy",
    "thumbnail_url": "https://scontent-fra3-1.xx.fbcdn.net/v/t45/1_n.png?oh=00_A&oe=6741",
    "image_url": "https://images.example/1.png?sig=a",
    "object_story_spec": {
        "link_data": {
            "picture": "https://images.example/p.png?sig=a",
            "link": "https://s.example/?a",
        }
    },
}


def changed(path, value):
    document = json.loads(json.dumps(CREATIVE))
    *parents, last = path
    target = document
    for parent in parents:
        target = target[parent]
    target[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["thumbnail_url"], "https://scontent-ams4-1.xx.fbcdn.net/v/t45/1_n.png?oh=00_B&oe=6799"),
        (["image_url"], "https://images.example/1.png?sig=b"),
        (["object_story_spec", "link_data", "picture"], "https://images.example/p.png?sig=b"),
        (["budget_remaining"], "5"),
    ],
)
def test_renewed_signatures_and_running_balances_are_no_change(path, value):
    assert document_hash(changed(path, value)) == document_hash(CREATIVE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["title"], "Buy now"),
        (["thumbnail_url"], "https://scontent-fra3-1.xx.fbcdn.net/v/t45/2_n.png?oh=00_A&oe=6741"),
        (["image_url"], "https://images.example/2.png?sig=a"),
        (["object_story_spec", "link_data", "link"], "https://s.example/?b"),
        (["daily_budget"], "500"),
    ],
)
def test_everything_else_is_a_change(path, value):
    assert document_hash(changed(path, value)) != document_hash(CREATIVE)


def test_the_order_of_members_is_no_change():
    assert document_hash(dict(reversed(CREATIVE.items()))) == document_hash(CREATIVE)


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
)
ANY_JSON = st.recursive(
    PLAIN | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=30)
@given(st.lists(ANY_JSON | st.dictionaries(st.sampled_from([*AD, "creative"]), ANY_JSON)))
def test_nothing_that_json_can_hold_stops_a_list(documents):
    for table in ENTITY_TABLES.values():
        rows, bad = normalize_entities(documents, table, "1")
        assert len(bad) + len(rows) <= len(documents)
        assert all(row.id.isdigit() for row in rows)


@given(ANY_JSON)
def test_json_text_is_storable_json(value):
    text = json_text(value)
    json.loads(text)
    text.encode("utf-8")
    assert "\\u0000" not in text.replace("\\\\", "")


def test_json_text_keeps_the_digits_of_decimals():
    exact = {"a": Decimal("0.1000000000000000055511151231257827"), "b": Decimal("1E+3")}
    assert json.loads(json_text(exact), parse_float=Decimal) == exact
    assert json_text(Decimal("12.30")) == "12.30"

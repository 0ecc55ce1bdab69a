"""``meta-ads keys``: the key is shown once; what is stored opens nothing."""

from __future__ import annotations

import json

import pytest

from meta_ads_pipeline.control.api_keys import usable_key
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.redaction import redact


def test_a_key_is_made_shown_once_listed_by_its_beginning_and_revoked(meta_ads, database: Database):
    code, text = meta_ads("keys", "create", "BI tool", "--role", "viewer", "--json")
    assert code == 0, text
    made = json.loads(text)
    assert usable_key(database, made["key"])
    assert made["scopes"] == ["read"]
    code, listed = meta_ads("keys", "list")
    assert made["prefix"] in listed
    assert made["key"] not in listed
    with database.connect() as connection:
        (row,) = connection.execute(
            "select k::text as stored from control.api_keys as k"
        ).fetchall()
    assert made["key"] not in row["stored"]
    assert made["key"] not in redact(f"a log line with {made['key']}")
    code, text = meta_ads("keys", "revoke", made["prefix"])
    assert code == 0
    assert usable_key(database, made["key"]) is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["create", "x", "--workspace", "nowhere"], "there is default"),
        (["create", "x", "--role", "boss"], "viewer, operator, admin"),
        (["create", "x", "--role", "viewer", "--scope", "sync"], "it has read"),
        (["create", "x", "--expires", "soon"], "90d"),
    ],
)
def test_what_cannot_be_made_says_what_can(meta_ads, arguments, expected):
    code, text = meta_ads("keys", *arguments)
    assert code == 2
    assert expected in text
    assert meta_ads("keys", "list", "--json")[1].strip() == "[]"


def test_an_unknown_prefix_is_an_error(meta_ads):
    code, text = meta_ads("keys", "revoke", "mak_nobody")
    assert code == 1
    assert "meta-ads keys list" in text

"""Posted facts: what lands, what is refused and why, and that the same again changes nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from meta_ads_pipeline.control import api_keys, dead_letters
from meta_ads_pipeline.control.dead_letters import DeadLetterStatus
from meta_ads_pipeline.raw.replay import replay
from meta_ads_pipeline.serving.ingest import MOST_ROWS
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving.conftest import running_service
from tests.serving.small_marts import DEFAULT, OTHER

PATH = "/workspaces/{}/metrics/ingest"
FACT: dict[str, Any] = {
    "provider": "google", "level": "campaign", "external_entity_id": "c1", "account_id": "a1",
    "event_at": "2026-10-25T12:20:00+02:00", "timezone": "Europe/Berlin", "currency": "EUR",
    "spend": 1.10,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(postgres_url: str, template_database: str) -> Iterator[Any]:
    with copy_of_template(postgres_url, template_database) as database:
        with database.connect() as connection:
            connection.execute(
                "insert into control.workspaces (workspace_id, name) values (%s, 'other')", [OTHER]
            )
            connection.execute(
                "insert into control.ad_accounts (account_id, workspace_id, timezone, currency)"
                " values ('1', %s, 'UTC', 'EUR'), ('9', %s, 'UTC', 'EUR')",
                [DEFAULT, OTHER],
            )
            connection.execute(
                "insert into control.slices (account_id, partition_date, asset, status, pulled_at)"
                " values ('1', '2026-10-20', 'insights_hourly', 'done', now())"
            )
        keys = {
            name: api_keys.create_key(
                database, workspace=name, member="x", name="x", role="operator"
            )[0]
            for name in ("default", "other")
        }
        with running_service(Settings(), database) as service:
            yield SimpleNamespace(database=database, service=service, keys=keys)


@pytest.fixture(autouse=True)
def _nothing_landed(world: Any) -> None:
    with world.database.connect() as connection:
        connection.execute(
            "truncate raw.ingested_facts, raw.ingested_accounts, raw.ingested_entities,"
            " raw.ingested_days, raw.ingested_days_built, control.ingest_requests,"
            " control.dead_letters"
        )


def post(world: Any, body: Any, *, of: str = "default", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return world.service.post(
        PATH.format(of),
        content=content,
        headers={"Authorization": f"Bearer {world.keys[of]}", **headers},
    )


def facts(world: Any) -> list[dict[str, Any]]:
    with world.database.connect() as connection:
        return connection.execute(
            "select * from raw.ingested_facts order by natural_key, event_date"
        ).fetchall()


def reasons(answer: Any) -> list[str | None]:
    return [row["reason"] for row in answer.json()["rows"]]


def test_a_fact_lands_by_its_key_and_the_same_again_changes_nothing(world: Any) -> None:
    first = post(world, FACT)
    assert first.status_code == 200, first.text
    assert first.json()["rows"][0] == {
        "index": 0, "status": "inserted", "field": None, "reason": None,
        "natural_key": "google-c1-2026-10-25T10:00:00Z",
    }  # fmt: skip
    assert post(world, FACT).json()["unchanged"] == 1
    assert post(world, {**FACT, "spend": 2}).json()["updated"] == 1
    (row,) = facts(world)
    assert (row["spend"], row["event_date"], row["campaign_id"]) == (
        Decimal(2), date(2026, 10, 25), "c1",
    )  # fmt: skip
    assert str(row["workspace_id"]) == DEFAULT


def test_money_is_exact_and_each_grain_begins_where_the_account_is(world: Any) -> None:
    digits = "12345678901234567.123456789"
    body = json.dumps([
        {**FACT, "spend": None, "revenue": 0, "grain": "day", "event_at": "2026-10-25T23:30:00Z"},
        {**FACT, "external_entity_id": "c2", "grain": "minute", "spend": "0.1",
         "event_at": "2026-10-25T02:30:59.5+02:00"},
        {**FACT, "event_at": "2026-10-25T02:30:00+01:00"},
    ]).replace("1.1}", digits + "}").replace('"revenue": 0', f'"revenue": {digits}')  # fmt: skip
    answer = post(world, body.encode())
    assert answer.json()["inserted"] == 3, answer.text
    found = {row["natural_key"]: row for row in facts(world)}
    day = found["google-c1-2026-10-26"]
    assert (day["revenue"], day["event_date"]) == (Decimal(digits), date(2026, 10, 26))
    assert "google-c2-2026-10-25T00:30:00Z" in found
    second = found["google-c1-2026-10-25T01:00:00Z"]  # the repeated hour, the second time
    assert second["event_at"].isoformat() == "2026-10-25T01:00:00+00:00"


def test_good_rows_land_and_bad_ones_are_dead_letters_that_can_be_replayed(world: Any) -> None:
    bad = [
        {**FACT, "event_at": "2026-10-25T12:00:00"},
        {**FACT, "spend": -1},
        {**FACT, "spend": True},
        {**FACT, "spend": float("1e40")},
        {**FACT, "clicks": 1.5},
        {**FACT, "currency": "eur"},
        {**FACT, "timezone": "Mars"},
        {**FACT, "provider": "yahoo"},
        {**FACT, "imprssions": 4},
        {key: value for key, value in FACT.items() if key != "spend"},
        {**FACT, "external_entity_id": "c7", "account_id": None},
        {**FACT, "external_entity_id": "c 7"},
        {**FACT, "external_entity_id": "c8", "account_id": "act_"},
        {**FACT, "event_at": "2199-01-01T00:00:00Z"},
        {**FACT, "event_at": "2001-01-01T00:00:00Z"},
        {**FACT, "entity_id": "00000000-0000-0000-0000-00000000000f"},
        {**FACT, "entity_id": 3},
        ["a list"],
        "\x00\ud800",
        None,
    ]
    answer = post(world, [*bad, FACT])
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["inserted"], body["rejected"]) == (1, len(bad)), reasons(answer)
    fields = [row["field"] for row in body["rows"][:9]]
    assert fields == ["event_at", "spend", "spend", "spend", "clicks", "currency", "timezone",
                      "provider", "imprssions"]  # fmt: skip
    with world.database.connect() as connection:
        letters = dead_letters.find(connection, assets=["ingest"])
    assert {str(letter.workspace_id) for letter in letters} == {DEFAULT}
    post(world, bad[1])  # met again: the same dead letter
    with world.database.connect() as connection:
        again = dead_letters.find(connection, assets=["ingest"])
        assert {each.dead_letter_id for each in again} == {e.dead_letter_id for e in letters}
        future = next(each for each in again if "lies in the future" in each.reason)
        connection.execute(
            "update control.dead_letters set document = jsonb_set(document, '{event_at}',"
            " to_jsonb('2026-10-26T00:00:00Z'::text)) where dead_letter_id = %s",
            [future.dead_letter_id],
        )
    results = replay(world.database, [each.dead_letter_id for each in again], api_version="v1.0")
    assert [each.dead_letter_id for each in results if each.landed] == [future.dead_letter_id]
    with world.database.connect() as connection:
        assert dead_letters.get(connection, future.dead_letter_id).status is (
            DeadLetterStatus.REPLAYED
        )
    assert len(facts(world)) == 2


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"grain": "hour"}, {"grain": "day"}, "grain: by the hour"),
        ({"grain": "day"}, {"grain": "minute"}, "grain: by the day"),
        ({}, {"level": "account", "external_entity_id": "a1"}, "level: the same measures"),
        ({"level": "account", "external_entity_id": "a1"}, {}, "level: the same measures"),
        (
            {},
            {"level": "ad", "external_entity_id": "d1", "campaign_id": "c1"},
            "level: at the level campaign",
        ),
        (
            {"level": "adset", "external_entity_id": "s1", "campaign_id": "c1"},
            {},
            "level: level adset",
        ),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_nothing_counts_twice(world: Any, first, second, said, at_once: bool) -> None:
    rows = [{**FACT, **first}, {**FACT, **second}]
    answers = [post(world, rows)] if at_once else [post(world, [row]) for row in rows]
    found = [reason for answer in answers for reason in reasons(answer)]
    refused = [reason for reason in found if reason is not None]
    assert len(refused) == 1, found
    assert refused[0].startswith(said.split(":")[0])
    assert "would count twice" in refused[0]
    other = [{**row, "spend": None, "revenue": 1} for row in rows[1:]]
    assert post(world, other).json()["rejected"] == 0  # another measure counts nothing twice
    beside = {
        **FACT,
        **second,
        "level": "campaign",
        "external_entity_id": "c9",
        "campaign_id": None,
    }
    assert said.startswith("level") or post(world, beside).json()["rejected"] == 0


def test_a_key_that_comes_twice_in_a_request_is_the_later_row(world: Any) -> None:
    answer = post(world, [{**FACT, "spend": 1}, {**FACT, "spend": 2}])
    assert [row["status"] for row in answer.json()["rows"]] == ["rejected", "inserted"]
    assert facts(world)[0]["spend"] == 2


def test_what_meta_itself_reports_is_not_taken_from_others(world: Any) -> None:
    ad = {**FACT, "provider": "meta", "level": "ad", "external_entity_id": "4", "timezone": None,
          "account_id": "act_1"}  # fmt: skip
    pulled = post(world, {**ad, "event_at": "2026-10-20T12:00:00Z"})
    assert pulled.status_code == 422
    assert "is pulled from Meta itself" in pulled.json()["detail"]
    other = post(world, {**ad, "event_at": "2026-10-21T12:00:00Z"})
    assert other.json()["rows"][0]["natural_key"] == "4-2026-10-21T12:00:00Z"
    assert (
        "is no account of this workspace"
        in reasons(post(world, {**ad, "external_entity_id": "5", "account_id": "9"}))[0]
    )
    assert "another than EUR" in reasons(post(world, {**ad, "currency": "USD"}))[0]


def test_accounts_and_keys_belong_to_the_workspace_that_posted_them_first(world: Any) -> None:
    assert post(world, FACT).json()["inserted"] == 1
    assert reasons(post(world, FACT, of="other")) == [
        "account_id: a1 is no account of this workspace"
    ]
    taken = post(world, {**FACT, "account_id": "a2"}, of="other")
    assert "is the key of a fact of another account" in reasons(taken)[0]
    assert len(facts(world)) == 1


def test_an_entity_is_named_by_its_uuid_once_it_is_known(world: Any) -> None:
    ad = {**FACT, "level": "ad", "external_entity_id": "d1", "campaign_id": "c5", "adset_id": "s5"}
    post(world, ad)
    (row,) = facts(world)
    later = {"entity_id": str(row["entity_id"]), "event_at": "2026-10-26T08:00:00Z",
             "currency": "EUR", "clicks": 3}  # fmt: skip
    assert post(world, later).json()["rows"][0]["natural_key"] == "google-d1-2026-10-26T08:00:00Z"
    known = {key: value for key, value in ad.items() if key not in ("account_id", "adset_id")}
    assert post(world, {**known, "event_at": "2026-10-27T08:00:00Z"}).json()["inserted"] == 1
    assert {row["adset_id"] for row in facts(world)} == {"s5"}
    moved = reasons(post(world, {**ad, "adset_id": "s6"}))
    assert moved == ["adset_id: s6 is another than s5, as it is known"]
    assert post(world, later, of="other").status_code == 422


def test_lines_and_gzip_are_accepted(world: Any) -> None:
    lines = b"\n".join(
        [json.dumps(FACT).encode(), b"", b"{no json", json.dumps({**FACT, "clicks": 1}).encode()]
    )
    answer = post(
        world, gzip.compress(lines), **{"Content-Type": "application/x-ndjson",
                                        "Content-Encoding": "gzip"},
    )  # fmt: skip
    assert [row["status"] for row in answer.json()["rows"]] == ["rejected", "rejected", "inserted"]
    assert "no JSON" in answer.json()["rows"][1]["reason"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{", {}, 400, "no JSON"),
        (b"NaN", {}, 400, "NaN is no number"),
        (b"[" * 100_000, {}, 400, "nested too deeply"),
        (b"\xff", {}, 400, "no UTF-8"),
        (b"[]", {}, 422, "no fact"),
        (b"[" + b"1," * MOST_ROWS + b"1]", {}, 413, "at most"),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400, "no gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400, "ends before"),
        (
            gzip.compress(b" " * 40_000_000, mtime=0),
            {"Content-Encoding": "gzip"},
            413,
            "larger than",
        ),
        (b"x", {"Content-Encoding": "br"}, 415, "gzip"),
        (b"a,b", {"Content-Type": "text/csv"}, 415, "application/x-ndjson"),
    ],
)
def test_what_is_no_batch_is_told(world: Any, body, headers, status, said) -> None:
    answer = post(world, body, **headers)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


def test_an_idempotency_key_answers_the_same_once(world: Any) -> None:
    first = post(world, FACT, **{"Idempotency-Key": "k1"})
    assert first.json()["inserted"] == 1
    again = post(world, FACT, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.content) == (200, first.content)
    other = post(world, {**FACT, "spend": 9}, **{"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert "another body" in other.json()["detail"]
    assert post(world, FACT, **{"Idempotency-Key": "k2"}).json()["unchanged"] == 1


def test_versions_of_a_day_rise_only_with_what_changes(world: Any) -> None:
    def version() -> int:
        with world.database.connect() as connection:
            row = connection.execute("select version from raw.ingested_days").fetchone()
        return int(row["version"])

    post(world, FACT)
    before = version()
    post(world, FACT)
    assert version() == before
    post(world, {**FACT, "spend": 3})
    assert version() == before + 1


def test_facts_go_with_their_workspace(world: Any) -> None:
    post(world, FACT)
    with world.database.connect() as connection:
        connection.execute(
            "insert into control.workspaces (workspace_id, name) values (gen_random_uuid(), 'gone')"
        )
        connection.execute(
            "update raw.ingested_facts set workspace_id ="
            " (select workspace_id from control.workspaces where name = 'gone')"
        )
        connection.execute("delete from control.workspaces where name = 'gone'")
    assert facts(world) == []

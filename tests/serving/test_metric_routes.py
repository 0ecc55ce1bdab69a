"""Numbers over HTTP: what comes back, in each format, and what a wrong parameter is told."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meta_ads_pipeline.control import api_keys
from tests.serving.small_marts import FIRST, LAST, fill

DATES = {"start": str(FIRST), "end": str(LAST)}


@pytest.fixture
def get(database, service):
    """Ask ``/metrics`` with a viewer's key, the marts being there."""
    fill(database)
    key = api_keys.create_key(database, workspace="default", member="Anna", name="test")[0]

    def ask(path: str = "metrics", **params):
        return service.get(
            f"/workspaces/default/{path}",
            params={**DATES, **params},
            headers={"Authorization": f"Bearer {key}"},
        )

    return ask


def test_numbers_come_with_their_columns_dates_and_trust(get):
    answer = get(
        measures="spend,ctr", breakdown="week", group_by="account", compare="previous_week"
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [column["name"] for column in body["columns"]] == [
        "time", "account", "account_name", "currency",
        "spend", "ctr", "previous_spend", "change_spend", "previous_ctr", "change_ctr",
    ]  # fmt: skip
    units = {column["name"]: column["unit"] for column in body["columns"]}
    assert (units["spend"], units["ctr"], units["change_spend"]) == ("money", "percent", "percent")
    assert isinstance(body["rows"][0]["spend"], str)
    assert body["previous_start"] == "2026-10-16"
    assert body["trust"]["is_settled"] is False
    assert body["next_offset"] is None


def test_a_page_names_the_next_one(get):
    first = get(breakdown="day", group_by="ad", limit=10).json()
    assert (len(first["rows"]), first["next_offset"]) == (10, 10)
    last = get(breakdown="day", group_by="ad", offset=first["total_rows"] - 1).json()
    assert (len(last["rows"]), last["next_offset"]) == (1, None)


def test_every_format_has_the_same_exact_numbers(get):
    asked = {"measures": "spend,clicks,roas", "group_by": "ad", "breakdown": "hour",
             "timezone": "Europe/Berlin"}  # fmt: skip
    rows = get(**asked).json()["rows"]
    text = get(**asked, format="csv")
    assert text.headers["content-type"].startswith("text/csv")
    assert "attachment" in text.headers["content-disposition"]
    assert text.headers["X-Unavailable"] == "roas"
    from_csv = list(csv.DictReader(io.StringIO(text.text)))
    parquet = in_utc(pq.read_table(io.BytesIO(get(**asked, format="parquet").content)))
    arrow = in_utc(pa.ipc.open_stream(get(**asked, format="arrow").content).read_all())
    assert len(rows) == len(from_csv) == len(parquet) == len(arrow)
    for row, line, column_row in zip(rows, from_csv, parquet, strict=True):
        assert Decimal(row["spend"]) == Decimal(line["spend"]) == column_row["spend"]
        assert (row["clicks"] or 0) == int(line["clicks"] or 0) == (column_row["clicks"] or 0)
        assert row["time"] == line["time"]
        assert datetime.fromisoformat(row["time"]) == column_row["time"]
    assert arrow == parquet


def test_a_name_that_looks_like_a_formula_is_text_in_a_spreadsheet(get, database):
    with database.connect() as connection:
        connection.execute("update marts.dim_ads set name = '=HYPERLINK(1)'")
    lines = csv.DictReader(io.StringIO(get(group_by="ad", format="csv").text))
    assert {line["ad_name"] for line in lines} <= {"'=HYPERLINK(1)", ""}


def in_utc(table: pa.Table) -> list[dict]:
    assert table.schema.field("time").type == pa.timestamp("us", tz="Europe/Berlin")
    times = table["time"].cast(pa.timestamp("us", tz="UTC"))
    return table.set_column(0, "time", times).to_pylist()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"measures": "profit"}, "measures: 'profit' is none of spend"),
        ({"start": "yesterday"}, "start: "),
        ({"campain": "1"}, "campain: Extra inputs"),
        ({"timezone": "CEST"}, "timezone: 'CEST' is not an IANA timezone"),
        ({"breakdown": "fortnight"}, "breakdown: Input should be 'minute', 'hour'"),
        ({"limit": 20_000}, "limit: at most 10000 rows as JSON"),
        ({"ad": "\x00"}, "filters: a value holds a NUL"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(get, params, said):
    answer = get(**params)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_without_dates_it_is_the_last_seven_days(get, database):
    with database.connect() as connection:
        connection.execute(
            f"alter database {connection.info.dbname} set meta_ads.now = '2026-11-03 12:00Z'"
        )
    body = get(start=None, end=None).json()
    assert (body["start"], body["end"]) == ("2026-10-28", "2026-11-03")


def test_before_the_first_build_it_says_what_to_do(database, service):
    key = api_keys.create_key(database, workspace="default", member="Anna", name="test")[0]
    answer = service.get("/workspaces/default/metrics", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 503
    assert "meta-ads sync" in answer.json()["detail"]

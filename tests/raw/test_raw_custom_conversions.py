"""Custom conversions: names and rules land, and are never an obstacle."""

from __future__ import annotations

import pytest

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.paging import LeftOut, Listing
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_custom_conversions import pull_custom_conversions
from meta_ads_pipeline.run_tags import REFRESH_TODAY
from tests.raw.fake_reader import NO_PERMISSION, TRANSIENT, FakeReader, api_error
from tests.raw.insights_rows import DAY

ACCOUNT = Account("1", "Europe/Berlin", "EUR")
CONVERSION = {
    "id": "71",
    "account_id": "1",
    "name": "Newsletter",
    "custom_event_type": "OTHER",
    "rule": '{"and":[{"url":{"i_contains":"thanks"}}]}',
    "pixel": {"id": "9"},
    "is_archived": False,
}


class Reader(FakeReader):
    def get_custom_conversions(self, account_id, *, counter=None):
        return self._list("custom_conversion", counter)


@pytest.fixture
def reader():
    reader = Reader()
    reader.lists["custom_conversion"] = [CONVERSION]
    return reader


def pull(database, reader, sync="1", **options):
    return pull_custom_conversions(
        database, reader, ACCOUNT, [DAY], PullContext(sync, f"run-{sync}", **options)
    )


def landed(database):
    with database.connect() as connection:
        return connection.execute(
            "select id, name, rule, pixel_id, missing_since from raw.custom_conversions order by id"
        ).fetchall()


def status(database):
    with database.connect() as connection:
        rows = connection.execute("select status from control.slices").fetchall()
    return [row["status"] for row in rows]


def test_names_and_rules_land_once(database, account, reader):
    assert [report.inserted for report in pull(database, reader)] == [1]
    (row,) = landed(database)
    assert (row["name"], row["rule"], row["pixel_id"]) == ("Newsletter", CONVERSION["rule"], "9")
    assert [report.unchanged for report in pull(database, reader, "2")] == [1]


def test_a_refused_list_keeps_what_was_known_and_is_done(database, account, reader):
    pull(database, reader)
    reader.list_error = api_error(NO_PERMISSION)
    pull(database, reader, "2")
    assert [row["missing_since"] for row in landed(database)] == [None]
    assert status(database) == ["done"]


def test_a_passing_failure_is_tried_again(database, account, reader):
    reader.list_error = api_error(TRANSIENT)
    with pytest.raises(MetaApiError):
        pull(database, reader)
    assert status(database) == ["parked"]


def test_the_refresh_of_today_lists_them_once(database, account, reader):
    reader.lists["custom_conversion"] = []
    for sync in "12":
        pull(database, reader, sync, refresh=REFRESH_TODAY)
    assert reader.list_calls == 1


def test_one_that_cannot_be_used_is_a_dead_letter(database, account, reader):
    reader.lists["custom_conversion"] = [None, {"id": "7x"}, CONVERSION]
    (report,) = pull(database, reader)
    assert (report.inserted, report.dead_lettered) == (1, 2)


def test_nothing_is_missing_from_a_list_that_was_left_early(database, account, reader, caplog):
    other = {**CONVERSION, "id": "72", "name": "Demo"}
    reader.lists["custom_conversion"] = [CONVERSION, other]
    pull(database, reader)
    renamed = {**CONVERSION, "name": "Letter"}
    reader.lists["custom_conversion"] = Listing([renamed], ended_early=api_error(NO_PERMISSION))
    pull(database, reader, "2")
    assert [(row["name"], row["missing_since"]) for row in landed(database)] == [
        ("Letter", None),
        ("Demo", None),
    ]
    assert status(database) == ["done"]
    assert "after 1 custom conversions the list was left" in caplog.text
    reader.lists["custom_conversion"] = [renamed]
    pull(database, reader, "3")
    assert [row["missing_since"] is None for row in landed(database)] == [True, False]


@pytest.mark.parametrize("fields", [(), ("rule",)])
def test_what_is_left_out_of_a_list_stays_as_it_was(database, account, reader, fields):
    pull(database, reader)
    left = LeftOut("no", "71", fields)
    rows = [{"id": "71", "name": "Newsletter"}] if fields else []
    reader.lists["custom_conversion"] = Listing(rows, [left])
    (report,) = pull(database, reader, "2")
    assert report.dead_lettered == 1
    (row,) = landed(database)
    assert (row["rule"], row["missing_since"]) == (CONVERSION["rule"], None)

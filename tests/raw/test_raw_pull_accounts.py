"""Landing ad accounts: which are chosen, what is kept, and errors that name the account."""

from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.control.accounts import active_accounts
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.paging import LeftOut, Listing
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from tests.raw.fake_reader import NO_PERMISSION, NOT_FOUND, FakeReader, api_error

START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def reader():
    return FakeReader()


ACCOUNT = {
    "id": "act_1",
    "account_id": "1",
    "name": "One",
    "currency": "EUR",
    "timezone_name": "Europe/Berlin",
    "account_status": 1,
}


def pull_accounts(database, reader, only=(), hours=0):
    now = START + timedelta(hours=hours)
    context = PullContext("sync", "run", now=lambda: now)
    return pull_ad_accounts(database, reader, only=only, ctx=context)


def test_accounts_are_landed_in_raw_and_control(database, reader, query):
    reader.accounts = [ACCOUNT, {**ACCOUNT, "id": "act_2", "account_id": "2", "currency": "JPY"}]
    accounts = pull_accounts(database, reader)
    assert [(each.account_id, each.currency, each.timezone) for each in accounts] == [
        ("1", "EUR", "Europe/Berlin"),
        ("2", "JPY", "Europe/Berlin"),
    ]
    assert active_accounts(database) == accounts
    assert query("select account_id, name, document from raw.ad_accounts where account_id = '1'")
    assert query("select count(*) from raw.entity_versions where level = 'account'") == [
        {"count": 2}
    ]


def test_an_account_s_spending_is_no_new_version_but_its_rename_is(database, reader, query):
    reader.accounts = [{**ACCOUNT, "amount_spent": "100", "age": 1.5}]
    pull_accounts(database, reader)
    reader.accounts = [{**ACCOUNT, "amount_spent": "200", "age": 1.6}]
    pull_accounts(database, reader, hours=1)
    assert query("select count(*) from raw.entity_versions") == [{"count": 1}]
    assert query("select document ->> 'amount_spent' as spent from raw.ad_accounts") == [
        {"spent": "200"}
    ]
    reader.accounts = [{**ACCOUNT, "name": "Uno", "timezone_name": "Europe/Madrid"}]
    pull_accounts(database, reader, hours=2)
    assert query("select count(*) from raw.entity_versions") == [{"count": 2}]
    assert active_accounts(database)[0].timezone == "Europe/Madrid"


def test_an_account_without_a_usable_timezone_is_a_dead_letter(database, reader, query):
    reader.accounts = [ACCOUNT, {**ACCOUNT, "account_id": "2", "timezone_name": "Mars/Olympus"}]
    assert [each.account_id for each in pull_accounts(database, reader)] == ["1"]
    (letter,) = query("select object_id, field, reason from control.dead_letters")
    assert (letter["object_id"], letter["field"]) == ("2", "timezone_name")
    assert "Mars/Olympus" in letter["reason"]


def test_only_the_chosen_accounts_are_landed_with_or_without_act(database, reader):
    reader.accounts = [ACCOUNT, {**ACCOUNT, "account_id": "2"}]
    assert [each.account_id for each in pull_accounts(database, reader, ["act_2"])] == ["2"]
    assert [each.account_id for each in active_accounts(database)] == ["2"]


def test_an_account_made_inactive_is_left_out_unless_named(database, reader):
    reader.accounts = [ACCOUNT, {**ACCOUNT, "account_id": "2"}]
    pull_accounts(database, reader)
    with database.connect() as connection:
        connection.execute("update control.ad_accounts set is_active = false where account_id='2'")
    assert [each.account_id for each in pull_accounts(database, reader)] == ["1"]
    assert [each.account_id for each in pull_accounts(database, reader, ["2"])] == ["2"]


def test_an_account_shared_with_the_token_directly_is_read_by_id(database, reader):
    reader.nodes["9"] = {**ACCOUNT, "id": "act_9", "account_id": "9"}
    assert [each.account_id for each in pull_accounts(database, reader, ["9"])] == ["9"]


def test_an_account_that_cannot_be_read_is_named_with_those_that_can(database, reader):
    reader.accounts = [ACCOUNT]
    reader.node_errors["9"] = api_error(NOT_FOUND)
    with pytest.raises(LookupError, match=r"ad account 9 cannot be read .* reads 1 \(One\)"):
        pull_accounts(database, reader, ["1", "9"])


def test_a_list_left_early_lands_what_came_and_fails(database, reader):
    refused = api_error(NO_PERMISSION)
    reader.accounts = Listing([ACCOUNT], ended_early=refused)
    with pytest.raises(MetaApiError, match="no permission"):
        pull_accounts(database, reader)
    assert [each.account_id for each in active_accounts(database)] == ["1"]
    assert [each.account_id for each in pull_accounts(database, reader, ["1"])] == ["1"]


def test_fields_left_out_of_an_account_are_its_dead_letter(database, reader, query):
    reader.accounts = Listing([ACCOUNT], [LeftOut("no business", "act_1", ("business",))])
    pull_accounts(database, reader)
    letters = "select object_id, field, reason, status from control.dead_letters"
    (letter,) = query(letters)
    assert letter == {
        "object_id": "act_1",
        "field": "business",
        "reason": "no business",
        "status": "open",
    }
    reader.accounts = [ACCOUNT]
    pull_accounts(database, reader)
    assert [letter["status"] for letter in query(letters)] == ["resolved"]

"""The life of an ad account: unreadable, gone, stopped; another connection takes over."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from meta_ads_pipeline.control.account_states import (
    RETRY_AFTER,
    AccountState,
    KnownAccount,
    known_accounts,
    start_accounts,
    stop_accounts,
)
from meta_ads_pipeline.control.accounts import UnknownAccountError, accounts_of_run
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.clients import clients_for
from meta_ads_pipeline.credentials.connection_accounts import account_owners
from meta_ads_pipeline.credentials.renewal import RenewalOutcome, refresh_connection
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_connected import (
    LIST_INCOMPLETE,
    ConnectedAccounts,
    pull_connected_accounts,
)
from meta_ads_pipeline.settings import Settings
from meta_graph_simulator.config import SimulatorConfig
from tests.meta_app import DAY, PERSON, SYSTEM, MetaApp, stored

NOW = datetime.now(UTC)


def pull(
    database: Database,
    settings: Settings,
    *,
    only: Sequence[str] = (),
    at: datetime = NOW,
    explicit: bool = False,
) -> ConnectedAccounts:
    context = PullContext(sync_id=str(uuid.uuid4()), run_id="test", now=lambda: at)
    with clients_for(settings, database) as clients:
        return pull_connected_accounts(
            database, clients, only=only, even_stopped=explicit, ctx=context
        )


def ids(pulled: ConnectedAccounts) -> list[str]:
    return [account.account_id for account in pulled.accounts]


def state(database: Database, account_id: str) -> KnownAccount:
    (found,) = known_accounts(database, [account_id])
    return found


def account_reads(meta: MetaApp, account_id: str) -> int:
    """How often the account itself was asked for since the last reset."""
    return sum(
        call["edge"] == "account" or call["path"].endswith(f"act_{account_id}")
        for call in meta.control.calls()
    )


def test_a_lost_account_is_left_out_asked_a_few_times_and_back_by_itself(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    stored(database, settings, meta.token())
    assert ids(pull(database, settings)) == [a, b, c]
    meta.token(PERSON, accounts=[a, b])

    pulled = pull(database, settings)
    assert ids(pulled) == [a, b]
    assert list(pulled.left_out) == [c]
    lost = state(database, c)
    assert (lost.state, lost.since, lost.tries) == (AccountState.UNREADABLE, NOW, 1)
    assert [each.account_id for each in accounts_of_run(database, (), ())] == [a, b]
    (alert,) = list_open_alerts(database)
    assert c in alert.alert.subject
    assert f"accounts stop {c}" in alert.alert.what_to_do

    meta.control.reset("stats")
    assert list(pull(database, settings, at=NOW + timedelta(minutes=59)).left_out) == [c]
    assert account_reads(meta, c) == 0, "not asked for again before its time"
    at = NOW
    for delay in RETRY_AFTER:
        at += delay
        pull(database, settings, at=at)
    assert state(database, c).state is AccountState.GONE
    meta.control.reset("stats")
    assert list(pull(database, settings, at=at + 365 * DAY).left_out) == [c]
    assert account_reads(meta, c) == 0, "gone: asked for no more"

    meta.token(PERSON)
    assert ids(pull(database, settings, at=at)) == [a, b, c]
    assert state(database, c).state is AccountState.ACTIVE
    assert list_open_alerts(database) == []


def test_a_configured_account_that_cannot_be_read_stops_no_other(
    database: Database, meta: MetaApp
) -> None:
    a, b, _ = meta.account_ids
    settings = meta.settings()
    stored(database, settings, meta.token())
    configured = [a, "999", b]
    pulled = pull(database, settings, only=configured)
    assert ids(pulled) == [a, b]
    assert list(pulled.left_out) == ["999"]
    assert state(database, "999").state is AccountState.UNREADABLE
    run = accounts_of_run(database, (), configured)
    assert [each.account_id for each in run] == [a, b]
    stop_accounts(database, ["999"], NOW)
    assert pull(database, settings, only=configured, at=NOW + DAY).left_out == {}
    assert state(database, "999").state is AccountState.STOPPED


def test_a_mistyped_account_of_one_request_is_refused_and_not_kept(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    stored(database, settings, meta.token())
    with pytest.raises(UnknownAccountError, match="999"):
        pull(database, settings, only=["999"], explicit=True)
    assert "999" not in {each.account_id for each in known_accounts(database)}
    assert list_open_alerts(database) == []


def test_a_stopped_account_is_synced_only_where_a_request_names_it(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    stored(database, settings, meta.token())
    pull(database, settings)
    assert stop_accounts(database, [b], NOW) == [b]
    assert stop_accounts(database, [b], NOW) == []
    assert ids(pull(database, settings)) == [a, c]
    assert ids(pull(database, settings, only=[a, b])) == [a], "META_AD_ACCOUNT_IDS names it"
    assert [each.account_id for each in accounts_of_run(database, (), [a, b])] == [a]
    assert ids(pull(database, settings, only=[b], explicit=True)) == [b]
    assert state(database, b).state is AccountState.STOPPED
    assert start_accounts(database, [b], NOW) == [b]
    assert ids(pull(database, settings)) == [a, b, c]
    with pytest.raises(UnknownAccountError, match="999"):
        stop_accounts(database, ["999"], NOW)


def test_an_account_of_a_dead_connection_is_read_with_another_of_its_workspace(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    meta.token(PERSON, user_id="1")
    meta.token(SYSTEM, user_id="2", accounts=[a, b])
    spare = stored(database, settings, meta.token(SYSTEM, user_id="2", accounts=[a, b]), "spare")
    main = stored(database, settings, meta.token(PERSON, user_id="1"), "main")
    assert ids(pull(database, settings)) == [a, b, c]
    assert set(account_owners(database).values()) == {main.connection_id}

    meta.control.revoke_token(PERSON, subcode=460)
    pulled = pull(database, settings)
    assert ids(pulled) == [a, b]
    assert list(pulled.failures) == ["default/main"]
    assert list(pulled.left_out) == [c]
    assert "default/main" in pulled.left_out[c]
    owners = account_owners(database)
    assert (owners[a], owners[b], owners[c]) == (
        spare.connection_id,
        spare.connection_id,
        main.connection_id,
    )
    assert state(database, c).state is AccountState.ACTIVE, "its connection's failure is not its"


def test_no_connection_of_another_workspace_takes_over(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    a = meta.account_ids[0]
    stored(database, settings, meta.token(PERSON, user_id="1"), "main", accounts=[a])
    stored(
        database,
        settings,
        meta.token(SYSTEM, user_id="2"),
        "theirs",
        accounts=[meta.account_ids[1]],
        workspace="agency",
    )
    pull(database, settings)
    meta.control.revoke_token(PERSON, subcode=460)
    pulled = pull(database, settings)
    assert ids(pulled) == [meta.account_ids[1]]
    assert list(pulled.left_out) == [a]


def test_a_field_that_one_connection_is_not_told_makes_no_new_version(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    stored(database, settings, meta.token())
    pull(database, settings)
    count = "select count(*) as n from raw.entity_versions where level = 'account'"
    with database.connect() as connection:
        before = connection.execute(count).fetchone()
        connection.execute(
            "update raw.ad_accounts set document = document - 'account_status'"
            ' || \'{"business_name": "told to the other"}\''
        )
    pull(database, settings, at=NOW + DAY)
    with database.connect() as connection:
        assert connection.execute(count).fetchone() == before


def test_a_token_is_renewed_though_it_lost_an_account(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    dates = {"issued_at": NOW - 50 * DAY, "expires_at": NOW + 10 * DAY}
    due = stored(database, settings, meta.token(type="USER", **dates))
    meta.token(PERSON, type="USER", accounts=meta.account_ids[:2], **dates)
    report = refresh_connection(database, settings, due, NOW)
    assert report.outcome is RenewalOutcome.RENEWED, report.message


@pytest.fixture
def refuse_all_but_the_first(meta: MetaApp) -> Iterator[Callable[[], None]]:
    """Meta's list of ad accounts has one account on a page, and refuses the second page."""

    def refuse() -> None:
        meta.control.configure(max_limit=1)
        second = {"edge": "me/adaccounts", "params": {"after": "."}}
        meta.control.add_fault("error", match=second, code=200, message="(#200) no")

    yield refuse
    meta.control.configure(max_limit=SimulatorConfig().max_limit)


def test_a_list_of_accounts_that_ends_early_is_told_once(
    database: Database, meta: MetaApp, refuse_all_but_the_first: Callable[[], None]
) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    refuse_all_but_the_first()
    connection = stored(database, settings, meta.token())
    for _ in range(2):
        pulled = pull(database, settings)
        assert ids(pulled) == [a]
        assert list(pulled.incomplete) == [connection.label]
        assert (pulled.left_out, pulled.failures) == ({}, {})
    (told,) = list_open_alerts(database)
    assert (told.alert.kind, told.times_raised) == (LIST_INCOMPLETE, 2)
    assert told.alert.subject == connection.subject
    assert "(#200) no" in told.alert.message
    assert "meta-ads connect --account" in told.alert.what_to_do

    meta.control.clear_faults()
    pulled = pull(database, settings)
    assert (ids(pulled), pulled.incomplete) == ([a, b, c], {})
    assert list_open_alerts(database) == []


def test_accounts_that_were_synced_are_read_where_their_list_ends_early(
    database: Database, meta: MetaApp, refuse_all_but_the_first: Callable[[], None]
) -> None:
    settings = meta.settings()
    connection = stored(database, settings, meta.token())
    pull(database, settings)
    refuse_all_but_the_first()
    pulled = pull(database, settings)
    assert ids(pulled) == meta.account_ids
    assert list(pulled.incomplete) == [connection.label]
    assert {each.state for each in known_accounts(database)} == {AccountState.ACTIVE}


def test_chosen_accounts_need_no_list(
    database: Database, meta: MetaApp, refuse_all_but_the_first: Callable[[], None]
) -> None:
    settings = meta.settings()
    a, _, c = meta.account_ids
    stored(database, settings, meta.token(), accounts=[a, c])
    refuse_all_but_the_first()
    pulled = pull(database, settings)
    assert (ids(pulled), pulled.incomplete) == ([a, c], {})
    assert list_open_alerts(database) == []


def test_an_account_that_a_list_leaves_out_is_left_out_by_name(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    meta.control.add_fault("unreadable_object", id=f"act_{b}", fields=["name"])
    stored(database, settings, meta.token())
    pulled = pull(database, settings)
    assert ids(pulled) == [a, c]
    assert list(pulled.left_out) == [b]

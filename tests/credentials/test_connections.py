"""Connections against a simulated Meta: how they stand, who reads what, renewal, alerts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from meta_ads_pipeline.control.accounts import Account, UnknownAccountError
from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.checks import (
    AppCredentialsError,
    inspect,
    revalidate_paused,
    validate_connection,
)
from meta_ads_pipeline.credentials.clients import ConnectedClients, clients_for
from meta_ads_pipeline.credentials.connection_accounts import (
    account_owners,
    refuse_taken_accounts,
)
from meta_ads_pipeline.credentials.connections import (
    ConnectionInUseError,
    ConnectionNotFoundError,
    ConnectionStatus,
    TokenFacts,
    environment_connection,
    find_connection,
    list_connections,
    register_environment,
    reload,
    remove_connection,
)
from meta_ads_pipeline.credentials.status import why_not_renewable
from meta_ads_pipeline.meta_api.client import AccountRef
from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_connected import pull_connected_accounts
from tests.insights_reading import read_insights
from tests.meta_app import (
    APP_ID,
    DAY,
    PERSON,
    SYSTEM,
    MetaApp,
    stored,
)


def pull(database: Database, clients: ConnectedClients, only: Sequence[str] = ()) -> list[str]:
    context = PullContext(sync_id=str(uuid.uuid4()), run_id="test")
    found = pull_connected_accounts(database, clients, only=only, ctx=context)
    return [account.account_id for account in found.accounts]


# --- what is known of a token ------------------------------------------------------------


def test_a_system_users_token_without_end(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    connection = stored(database, settings, meta.token(SYSTEM))
    assert connection.status is ConnectionStatus.ACTIVE
    assert connection.facts.token_type == "SYSTEM_USER"
    assert connection.facts.expires_at is None
    assert connection.facts.data_access_expires_at is None
    assert "ads_read" in connection.facts.scopes
    assert connection.facts.app_id == APP_ID
    assert connection.facts.issued_at is not None


@pytest.mark.parametrize(
    ("members", "status", "says"),
    [
        ({"revoked_subcode": 460}, "revoked", "password was changed"),
        ({"revoked_subcode": 458}, "revoked", "removed the app"),
        ({"revoked_subcode": 459}, "revoked", "checkpoint"),
        ({"expires_at": 1_700_000_000}, "expired", "expired"),
        ({"data_access_expires_at": 1_700_000_000}, "expired", "data access"),
        ({"scopes": ["business_management"]}, "missing_scope", "ads_read"),
    ],
)
@pytest.mark.parametrize("app", [True, False])
def test_a_token_that_does_not_work_says_why(
    meta: MetaApp, members: dict[str, object], status: str, says: str, app: bool
) -> None:
    token = meta.token(**members)
    meta.control.configure(require_proof=app)
    settings = meta.settings() if app else meta.settings(META_APP_ID="", META_APP_SECRET="")
    found = inspect(settings, token, datetime.now(UTC))
    assert (str(found.verdict.status), says in str(found.verdict.reason)) == (status, True), found
    assert PERSON not in repr(found)


def test_no_end_is_not_1970(meta: MetaApp) -> None:
    found = inspect(meta.settings(), meta.token(expires_at=0), datetime.now(UTC))
    assert found.facts.expires_at is None
    assert found.verdict.status is ConnectionStatus.ACTIVE


def test_wrong_app_credentials_say_nothing_of_the_token(database: Database, meta: MetaApp) -> None:
    connection = stored(database, meta.settings(), meta.token())
    wrong = meta.settings(META_APP_SECRET="f" * 32)
    with pytest.raises(AppCredentialsError, match="META_APP_SECRET") as caught:
        validate_connection(database, wrong, connection, datetime.now(UTC))
    assert "f" * 32 not in str(caught.value)
    assert reload(database, connection.connection_id).status is ConnectionStatus.ACTIVE


def test_a_network_failure_leaves_the_state_alone(database: Database, meta: MetaApp) -> None:
    connection = stored(database, meta.settings(), meta.token())
    gone = meta.settings(META_GRAPH_URL="http://127.0.0.1:9")
    with pytest.raises(MetaApiError, match="refused"):
        validate_connection(database, gone, connection, datetime.now(UTC))
    assert reload(database, connection.connection_id) == connection


# --- storing -----------------------------------------------------------------------------


def test_several_workspaces_and_connections(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    first = stored(database, settings, meta.token())
    second = stored(database, settings, meta.token(SYSTEM), "second", workspace="agency")
    assert [c.label for c in list_connections(database)] == ["default/main", "agency/second"]
    assert find_connection(database, "second") == second
    assert find_connection(database, "default/main") == first
    assert find_connection(database, first.connection_id) == first
    with pytest.raises(ConnectionNotFoundError, match="agency/second"):
        find_connection(database, "third")


def test_another_persons_token_does_not_replace_one(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    stored(database, settings, meta.token(user_id="1"))
    with pytest.raises(ConnectionInUseError, match="--name"):
        stored(database, settings, meta.token(SYSTEM, user_id="2"))


def test_the_environments_connection_stores_no_token_and_follows_it(
    database: Database, meta: MetaApp
) -> None:
    connection = environment_connection(database, meta.token())
    assert connection.from_environment
    settings = meta.settings(META_ACCESS_TOKEN=PERSON)
    meta.control.revoke_token(PERSON)
    after, _ = validate_connection(database, settings, connection, datetime.now(UTC))
    assert after.status is ConnectionStatus.REVOKED
    same = environment_connection(database, SecretStr(PERSON))
    assert same.status is ConnectionStatus.REVOKED
    fresh = environment_connection(database, SecretStr(SYSTEM))
    assert fresh.status is ConnectionStatus.ACTIVE
    assert fresh.connection_id == connection.connection_id
    assert fresh.last_validated_at is None


def test_an_account_of_another_workspace_is_not_taken(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    first = meta.account_ids[0]
    stored(database, settings, meta.token(), accounts=[first])
    with pytest.raises(ConnectionInUseError, match=first):
        refuse_taken_accounts(database, "agency", [Account(first, "UTC", "EUR")])
    refuse_taken_accounts(database, "default", [Account(first, "UTC", "EUR")])
    refuse_taken_accounts(database, "agency", [Account(meta.account_ids[1], "UTC", "EUR")])


def test_removing_keeps_the_accounts_but_stops_their_sync(
    database: Database, meta: MetaApp
) -> None:
    connection = stored(database, meta.settings(), meta.token())
    assert remove_connection(database, connection) == 3
    assert list_connections(database) == []
    with database.connect() as session:
        rows = session.execute(
            "select is_active, connection_id from control.ad_accounts"
        ).fetchall()
    assert [(r["is_active"], r["connection_id"]) for r in rows] == [(False, None)] * 3


# --- clients ------------------------------------------------------------------------------


def test_each_account_is_read_with_its_own_connection(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    meta.token(PERSON, user_id="1", accounts=[a])
    meta.token(SYSTEM, user_id="2", accounts=[b, c])
    one = stored(database, settings, SecretStr(PERSON), "one", accounts=[a])
    two = stored(database, settings, SecretStr(SYSTEM), "two", accounts=[b], workspace="agency")
    with clients_for(settings, database) as clients:
        assert [clients.of(x).connection for x in (a, b)] == [one, two]
        assert pull(database, clients) == sorted([a, b])
        assert clients.client_for(a).get_account(a)["id"] == f"act_{a}"
        with pytest.raises(MetaApiError):
            clients.client_for(a).get_account(b)
        with pytest.raises(UnknownAccountError, match="999"):
            pull(database, clients, ["999"])
        assert pull(database, clients, [b]) == [b]
    with database.connect() as session:
        rows = session.execute(
            "select account_id, w.name from control.ad_accounts"
            " inner join control.workspaces as w using (workspace_id) where is_active"
        ).fetchall()
    assert {r["account_id"]: r["name"] for r in rows} == {a: "default", b: "agency"}


def test_a_token_in_the_environment_is_enough(database: Database, meta: MetaApp) -> None:
    meta.token(PERSON)
    a, b, _ = meta.account_ids
    settings = meta.settings(META_ACCESS_TOKEN=PERSON, META_AD_ACCOUNT_IDS=f"{a},{b}")
    register_environment(database, settings)
    with clients_for(settings, database) as clients:
        assert len(clients) == 1
        assert pull(database, clients) == [a, b]
        (connection,) = list_connections(database)
        assert account_owners(database) == {
            a: connection.connection_id,
            b: connection.connection_id,
        }
    with database.connect() as session:
        row = session.execute("select token_ciphertext from control.connections").fetchone()
    assert row == {"token_ciphertext": None}


def test_clients_are_made_without_a_call_a_write_or_an_alert(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    stored(database, settings, meta.token())
    meta.token(SYSTEM)
    with_environment = meta.settings(META_ACCESS_TOKEN=SYSTEM)
    with clients_for(settings, database) as clients:
        meta.control.revoke_token(PERSON, subcode=460)
        with pytest.raises(MetaApiError):
            clients.first.client.get_accounts()

    def state() -> list[dict[str, Any]]:
        with database.connect() as session:
            return session.execute(
                "select to_jsonb(c) as row from control.connections as c"
                " union all select to_jsonb(a) from control.alerts as a"
            ).fetchall()

    before = state()
    meta.control.reset("stats")
    with clients_for(with_environment, database) as clients:
        assert [each.usable for each in clients] == [True, False]
    assert meta.edges() == []
    assert state() == before


def test_without_any_token_there_is_no_client(database: Database, meta: MetaApp) -> None:
    with clients_for(meta.settings(), database) as clients:
        assert len(clients) == 0


def test_every_call_carries_the_proof(database: Database, meta: MetaApp) -> None:
    """The simulator refuses calls without it; without the secret nothing gets through."""
    settings = meta.settings()
    stored(database, settings, meta.token())
    account = AccountRef(meta.account_ids[0], "UTC", "USD")
    day = datetime.now(UTC).date() - 2 * DAY
    with clients_for(settings, database) as clients:
        client = clients.client_for(account.account_id)
        client.get_accounts()
        client.get_campaigns(account.account_id)
        client.get_objects(
            [c["id"] for c in client.get_ads(account.account_id)],
            "ad",
            account_id=account.account_id,
        )
        read_insights(client, account, day, day, level="ad", grain="hour")
        read_insights(client, account, day - 60 * DAY, day, level="ad", grain="hour")
    with (
        clients_for(meta.settings(META_APP_SECRET=""), database) as clients,
        pytest.raises(MetaApiError, match="proof"),
    ):
        clients.first.client.get_accounts()


def test_a_refused_token_pauses_its_own_connection_only(
    database: Database, meta: MetaApp, caplog: pytest.LogCaptureFixture
) -> None:
    settings = meta.settings()
    a, b, c = meta.account_ids
    meta.token(PERSON, user_id="1")
    meta.token(SYSTEM, user_id="2", accounts=[b])
    stored(database, settings, SecretStr(PERSON), "one", accounts=[a, c])
    stored(database, settings, SecretStr(SYSTEM), "two", accounts=[b])
    with clients_for(settings, database) as clients:
        meta.control.revoke_token(PERSON, subcode=460)
        meta.control.reset("stats")
        for account in (a, c, a):
            with pytest.raises(MetaApiError, match="password was changed") as caught:
                clients.client_for(account).get_campaigns(account)
            assert str(caught.value.kind) == "auth"
        assert meta.edges().count("campaigns") == 1, "no call after the first refusal"
        assert clients.client_for(b).get_campaigns(b)
        assert [each.usable for each in clients] == [False, True]
    one, two = list_connections(database)
    assert (one.status, two.status) == (ConnectionStatus.REVOKED, ConnectionStatus.ACTIVE)
    assert "190/460" in str(one.status_reason)
    (alert,) = list_open_alerts(database)
    assert alert.alert.subject == "connection default/one"
    assert "meta-ads connect" in alert.alert.what_to_do
    assert PERSON not in caplog.text
    # A later run: one try at its start, then the reason at once, without a call.
    meta.control.reset("stats")
    revalidate_paused(database, settings, datetime.now(UTC))
    tried = len(meta.edges())
    assert 1 <= tried <= 3
    with clients_for(settings, database) as clients:
        with pytest.raises(MetaApiError, match="password was changed"):
            clients.client_for(a).get_account(a)
        assert len(meta.edges()) == tried
        assert pull(database, clients) == [b]
        with pytest.raises(MetaApiError, match="paused"):
            pull(database, clients, [a])


def test_a_repaired_token_works_again_at_the_next_run(database: Database, meta: MetaApp) -> None:
    settings = meta.settings()
    a = meta.account_ids[0]
    stored(database, settings, meta.token())
    with clients_for(settings, database) as clients:
        meta.control.revoke_token(PERSON, subcode=459)
        with pytest.raises(MetaApiError):
            clients.client_for(a).get_account(a)
    assert list_open_alerts(database)
    meta.control.repair_token(PERSON)
    revalidate_paused(database, settings, datetime.now(UTC))
    with clients_for(settings, database) as clients:
        assert clients.client_for(a).get_account(a)
    assert list_open_alerts(database) == []
    assert list_connections(database)[0].status is ConnectionStatus.ACTIVE


def test_a_token_that_no_key_decrypts_pauses_its_connection(
    database: Database, meta: MetaApp
) -> None:
    settings = meta.settings()
    stored(database, settings, meta.token())
    other_key = MetaApp(meta.server, meta.home).settings()
    with (
        clients_for(other_key, database) as clients,
        pytest.raises(MetaApiError, match="META_ADS_ENCRYPTION_KEYS"),
    ):
        clients.first.client.get_accounts()


def test_a_token_of_another_app_is_used_unsigned(database: Database, meta: MetaApp) -> None:
    """The app's secret would make a proof that Meta refuses."""
    meta.control.configure(require_proof=False)
    settings = meta.settings()
    token = meta.token(app_id="999", type="USER", expires_at=datetime.now(UTC) + 5 * DAY)
    found = inspect(settings, token, datetime.now(UTC))
    assert found.of_other_app
    assert found.facts.app_id == "999"
    assert len(found.accounts) == 3
    connection = stored(database, settings, token)
    assert "META_APP_ID" in str(why_not_renewable(connection, settings))
    # Signed with this app's secret it would be let in here, too: so demand proofs and see none.
    meta.control.configure(require_proof=True)
    with (
        clients_for(settings, database) as clients,
        pytest.raises(MetaApiError, match="proof"),
    ):
        clients.first.client.get_accounts()
    assert reload(database, connection.connection_id).status.usable, "a proof is not the token"


def test_a_token_that_meta_inspects_for_no_other_app(meta: MetaApp) -> None:
    """Meta refuses to tell the app about another app's token; the token may tell itself."""
    meta.control.configure(require_proof=False)
    token = meta.token(app_id="999")
    meta.control.add_fault(
        "error",
        match={"edge": "debug_token"},
        times=1,
        code=100,
        message="(#100) The App_id in the input_token did not match the Viewing App",
    )
    found = inspect(meta.settings(), token, datetime.now(UTC))
    assert found.of_other_app
    assert found.facts.app_id == "999"
    assert found.verdict.status is ConnectionStatus.ACTIVE


def test_permissions_stand_in_where_a_token_may_not_be_inspected(meta: MetaApp) -> None:
    meta.control.configure(require_proof=False)
    settings = meta.settings(META_APP_ID="", META_APP_SECRET="")
    meta.control.add_fault(
        "error", match={"edge": "debug_token"}, code=100, message="(#100) not allowed"
    )
    end = datetime.now(UTC) + 5 * DAY
    found = inspect(settings, meta.token(), datetime.now(UTC), known=TokenFacts(expires_at=end))
    assert "ads_read" in found.facts.scopes
    assert found.facts.expires_at == end
    assert found.verdict.status is ConnectionStatus.EXPIRING
    found = inspect(settings, meta.token(scopes=["email"]), datetime.now(UTC))
    assert found.verdict.status is ConnectionStatus.MISSING_SCOPE

"""A simulated Meta with an app whose secret is verified, and tokens to give out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.checks import inspect
from meta_ads_pipeline.credentials.connection_accounts import choose_accounts
from meta_ads_pipeline.credentials.connection_tokens import read_token
from meta_ads_pipeline.credentials.connections import Connection, save_connection
from meta_ads_pipeline.credentials.vault import TokenVault
from meta_ads_pipeline.settings import Settings
from meta_graph_simulator.config import SimulatorConfig, TokenSpec
from meta_graph_simulator.http.server import SimulatorServer

APP_ID, APP_SECRET = "4242424242", "0123456789abcdef0123456789abcdef"
PERSON, SYSTEM = "EAApersonToken0123456789abcdef", "EAAsystemToken0123456789abcdef"
DAY = timedelta(days=1)


class MetaApp:
    """The simulator with app credentials; its clock is the machine's unless moved."""

    def __init__(self, server: SimulatorServer, home: Path) -> None:
        self.server = server
        self.control = server.control
        self.home = home
        self.key = Fernet.generate_key().decode()

    @property
    def account_ids(self) -> list[str]:
        return sorted(a["id"].removeprefix("act_") for a in self.control.state()["accounts"])

    def token(self, name: str = PERSON, **members: Any) -> SecretStr:
        """Make a token known; instants may be given for dates."""
        for date in ("issued_at", "expires_at", "data_access_expires_at"):
            if isinstance(members.get(date), datetime):
                members[date] = int(members[date].timestamp())
        self.control.add_token(name, **members)
        return SecretStr(name)

    def settings(self, **changes: Any) -> Settings:
        """Settings that point here, with app credentials and an encryption key."""
        values: dict[str, Any] = {
            "META_ADS_HOME": self.home,
            "META_GRAPH_URL": self.server.url,
            "META_APP_ID": APP_ID,
            "META_APP_SECRET": APP_SECRET,
            "META_ADS_ENCRYPTION_KEYS": self.key,
        }
        return Settings(**{**values, **changes})

    def edges(self) -> list[str]:
        """What was called since the last reset, in order."""
        return [str(call["edge"]) for call in self.control.calls()]


def stored(
    database: Database,
    settings: Settings,
    token: SecretStr,
    name: str = "main",
    *,
    accounts: Sequence[str] = (),
    workspace: str = "default",
) -> Connection:
    """Connect as `meta-ads connect` does, without the talking."""
    now = datetime.now(UTC)
    found = inspect(settings, token, now)
    assert found.verdict.status.usable, found.verdict
    connection = save_connection(
        database,
        TokenVault.from_settings(settings),
        workspace=workspace,
        name=name,
        token=token,
        facts=found.facts,
        status=found.verdict.status,
        reason=found.verdict.reason,
        reads_all_accounts=not accounts,
        now=now,
    )
    known = [
        Account(str(d["account_id"]), d["timezone_name"], d["currency"]) for d in found.accounts
    ]
    chosen = [a for a in known if not accounts or a.account_id in accounts]
    choose_accounts(database, connection, chosen, [a for a in known if a not in chosen])
    return connection


def token_in_use(database: Database, settings: Settings, connection: Connection) -> str:
    vault = TokenVault.from_settings(settings)
    return read_token(database, vault, connection.connection_id).get_secret_value()


@pytest.fixture(scope="session")
def meta_server() -> Iterator[SimulatorServer]:
    """One simulator for the session that refuses calls without a proof."""
    config = SimulatorConfig(
        accounts=3,
        ads=4,
        app_id=APP_ID,
        app_secret=APP_SECRET,
        require_proof=True,
        tokens=(TokenSpec(token="never-used"),),
    )
    with SimulatorServer(config) as server:
        yield server


@pytest.fixture
def meta(meta_server: SimulatorServer, tmp_path: Path) -> MetaApp:
    """The simulated Meta as at its start, and a home of the test's own."""
    meta_server.control.reset()
    meta_server.control.configure(require_proof=True)
    meta_server.control.set_clock(datetime.now(UTC))
    return MetaApp(meta_server, tmp_path)

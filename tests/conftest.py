"""Fixtures shared by all tests: a real Postgres, a migrated database per test, a real simulator.

Set META_ADS_TEST_DATABASE_URL to a superuser's URL to test against another server than the
embedded one.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30


def _folder_in_memory() -> Path | None:
    """Where there is one with room: a database for each test is many small files, for minutes."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if usable and shutil.disk_usage(_MEMORY).free >= _ROOM else None


_HOME = Path(tempfile.mkdtemp(prefix="meta-ads-tests-", dir=_folder_in_memory()))
# The processes of ``-n`` inherit it: they share one server, and what one of them has built there.
SHARED_FOLDER = Path(os.environ.setdefault("META_TESTS_SHARED_FOLDER", str(_HOME / "shared")))
# Before anything reads the settings: no test touches the checkout's .meta_ads/ or real credentials.
for _name in [name for name in os.environ if name.startswith(("META_", "PERFORMANCE_SYNC"))]:
    if not _name.startswith(("META_ADS_TEST_", "META_TESTS_")):
        del os.environ[_name]
os.environ["META_ADS_HOME"] = str(_HOME)
# Commands that tests start import some two thousand modules: compiling them anew takes 10 s each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import psycopg  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings as hypothesis_settings  # noqa: E402
from psycopg import sql  # noqa: E402
from sqlalchemy.engine import make_url  # noqa: E402

from meta_ads_pipeline.control.accounts import Account  # noqa: E402
from meta_ads_pipeline.control.database import Database  # noqa: E402
from meta_ads_pipeline.control.embedded_postgres import EmbeddedPostgres  # noqa: E402
from meta_ads_pipeline.meta_api.client import MetaAdsClient  # noqa: E402
from meta_ads_pipeline.settings import Settings  # noqa: E402
from meta_ads_pipeline.transform.relations import claim_relations  # noqa: E402
from meta_graph_simulator.config import DEFAULT_TOKEN, SimulatorConfig  # noqa: E402
from meta_graph_simulator.http.server import SimulatorServer  # noqa: E402
from tests.meta_app import meta, meta_server  # noqa: E402, F401 - fixtures for all tests

if TYPE_CHECKING:
    from tests.dbt_project.warehouse import Warehouse

# A developer's .env is not the tests' business either.
Settings.model_config["env_file"] = None

# The machine may be busy: an example that is slow once is no failure.
hypothesis_settings.register_profile("tests", deadline=None)
hypothesis_settings.load_profile("tests")

_TEMPLATE, _BUILT = (f"{kind}_{SHARED_FOLDER.parent.name[-8:]}" for kind in ("template", "built"))
"""Databases of this run alone, on a server that may have others'."""

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


_LONGEST_FIRST = (
    "test_up.py",
    "test_sync.py",
    "test_survival.py",
    "test_secrets.py",
    "test_real_account.py",
    "test_restatement.py",
    "dbt_project",
    "cli",
    "transform",
    "quality",
    "alerting",
    "automation",
    "control",
    "raw",
)
"""Below tests/, for processes that share the suite file by file: no long one comes last."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a process of ``-n``, the files that take longest come first."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(Path(__file__).parent).parts[0]
        return _LONGEST_FIRST.index(name) if name in _LONGEST_FIRST else len(_LONGEST_FIRST)

    if hasattr(config, "workerinput"):
        items.sort(key=place)


def pytest_sessionfinish() -> None:
    """Leave nothing behind in the temporary directory, nor on a server that is not our own."""
    server = os.environ.get("META_ADS_TEST_DATABASE_URL")
    if server and "PYTEST_XDIST_WORKER" not in os.environ:
        for name in (_TEMPLATE, _BUILT):
            _drop(server, name)
    shutil.rmtree(_HOME, ignore_errors=True)
    # What is garbage now is told of here; pytest would look five times, and the interpreter again.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def logging_ends_with_the_test() -> Iterator[None]:
    """What a test has written to standard error is not written in the next one."""
    root = logging.getLogger()
    before = [*root.handlers]
    yield
    for handler in [each for each in root.handlers if each not in before]:
        if type(handler).__module__.startswith("meta_ads_pipeline"):
            root.removeHandler(handler)


@contextmanager
def once(name: str) -> Iterator[bool]:
    """Whether this process is the first to get here: the others wait until it is through.

    What fails in the block is left to the next process.
    """
    SHARED_FOLDER.mkdir(parents=True, exist_ok=True)
    with (SHARED_FOLDER / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = SHARED_FOLDER / name
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A superuser's URL of a running server; its database is not for use."""
    other = os.environ.get("META_ADS_TEST_DATABASE_URL")
    if other:
        yield other
        return
    server = EmbeddedPostgres(SHARED_FOLDER / "server")
    url = server.start()
    with once("settings") as first, psycopg.connect(url, autocommit=True) as connection:
        if first:
            # The data is thrown away: nothing has to survive a power cut.
            connection.execute("alter system set fsync = off")
            connection.execute("alter system set synchronous_commit = off")
            connection.execute("alter system set full_page_writes = off")
            # The kernel copies the files of a template: a quarter less than reading and writing.
            connection.execute("alter system set file_copy_method = clone")
            connection.execute("select pg_reload_conf()")
    yield url
    server.release()


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database that tests are given copies of."""
    with once(_TEMPLATE) as first:
        if first:
            _drop(postgres_url, _TEMPLATE)  # of a process that failed
            _create(postgres_url, _TEMPLATE)
            database = Database(_with_database(postgres_url, _TEMPLATE))
            database.migrate()
            database.dispose()
    return _TEMPLATE


@pytest.fixture(scope="session")
def built_template(postgres_url: str, template_database: str) -> str:
    """The name of a database with all of dbt's relations, empty: a sync has none to build.

    Built with the project's unit tests, which are the code's; of data there is none to be tested.
    """
    with once(_BUILT) as first:
        if first:
            from tests.dbt_project.warehouse import Warehouse, failures

            _drop(postgres_url, _BUILT)
            _create(postgres_url, _BUILT, template_database)
            database = Database(_with_database(postgres_url, _BUILT))
            warehouse = Warehouse.parsed(database, SHARED_FOLDER / "dbt")
            result = warehouse.dbt("build", "--exclude-resource-type", "test")
            assert result.success, failures(result)
            claim_relations(database)
            warehouse.empty()
            database.dispose()
    return _BUILT


@pytest.fixture(scope="session")
def built_warehouse(
    postgres_url: str, built_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """The dbt project's database, as built while empty, for this process's tests to fill."""
    from tests.dbt_project.warehouse import Warehouse  # dbt: seconds, not for every run of tests

    with copy_of_template(postgres_url, built_template) as database:
        target = tmp_path_factory.mktemp("dbt")
        shutil.copytree(SHARED_FOLDER / "dbt", target, dirs_exist_ok=True)  # parsed once for all
        warehouse = Warehouse.parsed(database, target)
        warehouse.built = warehouse.relations()
        yield warehouse


@pytest.fixture
def database(postgres_url: str, template_database: str) -> Iterator[Database]:
    """A fresh, migrated database of the test's own."""
    with copy_of_template(postgres_url, template_database) as database:
        yield database


@pytest.fixture
def query(database: Database) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a query in the test's database."""

    def query(text: str, *parameters: Any) -> list[dict[str, Any]]:
        with database.connect() as connection:
            return connection.execute(text, parameters).fetchall()

    return query


@pytest.fixture
def built_database(postgres_url: str, built_template: str) -> Iterator[Database]:
    """A database of the test's own, with all of dbt's relations."""
    with copy_of_template(postgres_url, built_template) as database:
        yield database


@contextmanager
def copy_of_template(postgres_url: str, template_database: str) -> Iterator[Database]:
    """A fresh, migrated database for as long as the block lasts."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _create(postgres_url, name, template_database)
    database = Database(_with_database(postgres_url, name))
    yield database
    database.dispose()
    _drop(postgres_url, name)


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[Database]:
    """A fresh database without any schema of ours."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _create(postgres_url, name)
    database = Database(_with_database(postgres_url, name))
    yield database
    database.dispose()
    _drop(postgres_url, name)


@pytest.fixture(scope="session")
def running_simulator() -> Iterator[SimulatorServer]:
    """One simulator for the session; use ``simulator``, which resets it."""
    config = SimulatorConfig(
        accounts=3, ads=6, job_seconds=0.1, markets=TEST_MARKETS, any_token=True
    )
    with SimulatorServer(config) as server:
        yield server


TEST_MARKETS = (
    ("USD", "America/New_York"),
    ("EUR", "Europe/Berlin"),
    ("JPY", "Asia/Tokyo"),
)
"""Currency and timezone of the simulator's three accounts."""


@pytest.fixture
def simulator(running_simulator: SimulatorServer) -> SimulatorServer:
    """The simulator without faults, changes and statistics of earlier tests."""
    running_simulator.control.reset()
    return running_simulator


@pytest.fixture
def client(simulator: SimulatorServer) -> Iterator[MetaAdsClient]:
    """The real client, pointed at the simulator; waits for nothing longer than needed."""
    with MetaAdsClient(access_token=DEFAULT_TOKEN, graph_url=simulator.url) as client:
        yield client


@pytest.fixture
def account() -> Account:
    """An account in New York that exists nowhere but in the test."""
    return Account("1", "America/New_York", "USD", "Test account")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded samples that live beside the checkout; tests that need them skip without."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the recorded samples are not beside this checkout")
    return SHARED_DATA


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _create(url: str, name: str, template: str = "template0") -> None:
    with psycopg.connect(_with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(
            # Without fsync, copying files is twice as fast as writing their pages to the log.
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def _drop(url: str, name: str) -> None:
    with psycopg.connect(_with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )

"""The OpenAPI document holds: whatever it allows is answered as it says, with a key and without.

Schemathesis makes the requests. What writes is asked as well: the database is the test's own, and
Dagster only queues.

An operation's requests are made up in its test: schemathesis's own decorator makes up all of them
while tests are collected, in each process of ``-n``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from schemathesis.pytest.lazy import get_all_tests

from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.serving.app import create_app
from meta_ads_pipeline.settings import Settings
from tests.conftest import copy_of_template
from tests.serving import dagster_records
from tests.serving.conftest import APP_SECRET, VERIFY_TOKEN, running_service
from tests.serving.small_marts import fill


class Nowhere:
    url = "postgresql://nowhere.invalid/x"


SCHEMA = schemathesis.openapi.from_dict(
    create_app(Settings(), Nowhere()).openapi()  # type: ignore[arg-type]
).exclude(path_regex="/stream$")  # never ends: its own tests read it

TOO_LONG = b"Invalid HTTP request received."
"""uvicorn's word for an address of more than 64 KiB, of which the application hears nothing."""

ASKED_WITHOUT: set[str] = set()

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def service(postgres_url: str, template_database: str) -> Iterator[Any]:
    with copy_of_template(postgres_url, template_database) as database:
        fill(database)
        dagster_records.make_tables(database)
        key = api_keys.create_key(
            database, workspace="default", member="x", name="x", role="operator"
        )[0]
        with dagster_records.webserver(database) as dagster:
            chosen = Settings(
                META_ADS_DAGSTER_URL=dagster,
                META_ADS_REQUESTS_PER_MINUTE=1_000_000,
                META_APP_SECRET=APP_SECRET,
                META_APP_VERIFY_TOKEN=VERIFY_TOKEN,
            )
            with running_service(chosen, database) as running:
                yield running.url, key


SETTINGS = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("label", [each.ok().label for each in SCHEMA.get_all_operations()])
def test_every_answer_is_as_documented(label: str, service: Any) -> None:
    (made,) = get_all_tests(
        schema=SCHEMA.include(name=label), test_func=ask, settings=SETTINGS, given_kwargs=None
    )
    _, ask_all = made.ok()
    ask_all(service=service)


def ask(case: schemathesis.Case, service: Any) -> None:
    url, key = service
    if "workspace_id" in (case.path_parameters or {}):
        case.path_parameters["workspace_id"] = "default"
    # Without a key only once for each path: whatever else is asked, that is seen first.
    sent = [key] if case.operation.label in ASKED_WITHOUT else [key, "mak_none"]
    ASKED_WITHOUT.add(case.operation.label)
    for each in sent:
        answer = case.call(url, headers={"Authorization": f"Bearer {each}"})
        if answer.content != TOO_LONG:
            case.validate_response(answer, checks=CHECKS)

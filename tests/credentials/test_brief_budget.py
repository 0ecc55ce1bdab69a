"""Questions that a person waits for: counted with the rest, never waited for long."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from meta_ads_pipeline.cli.doctor_findings import Outcome
from meta_ads_pipeline.cli.doctor_meta import examine_connection
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.brief_budget import LONGEST_WAIT, brief_budget
from meta_ads_pipeline.credentials.checks import inspect, validate_connection
from meta_ads_pipeline.credentials.clients import shared_rate_limiter
from meta_ads_pipeline.meta_api.errors import ErrorKind, MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.usage import Usage, UseCase
from tests.meta_app import MetaApp, stored
from tests.rate_limit.limiters import spent

BLOCKED = {"code": 4, "message": "(#4) Application request limit reached"}


def test_a_validation_is_in_the_connection_s_counts(meta: MetaApp, database: Database) -> None:
    settings = meta.settings()
    connection = stored(database, settings, meta.token())
    meta.server.control.reset("stats")
    validate_connection(database, settings, connection, datetime.now(UTC))
    made = meta.server.control.stats()["calls"]
    assert made >= 2  # the token's inspection, and the accounts it reads
    assert spent(database, connection.connection_id) == (made, 0)


def test_a_token_of_no_connection_yet_is_counted_too(meta: MetaApp, database: Database) -> None:
    meta.server.control.reset("stats")
    with brief_budget(meta.settings(), database) as rate_limiter:
        inspect(meta.settings(), meta.token(), datetime.now(UTC), rate_limiter=rate_limiter)
    assert spent(database, "new") == (meta.server.control.stats()["calls"], 0)


def test_a_block_is_an_answer_at_once_and_says_until_when(
    meta: MetaApp, database: Database
) -> None:
    settings = meta.settings()
    connection = stored(database, settings, meta.token())
    rate_limiter = shared_rate_limiter(settings, database, connection)
    rate_limiter.before_call(None, UseCase.MANAGEMENT)
    error = error_from_envelope(BLOCKED, http_status=403, retry_after_seconds=1800)
    rate_limiter.after_call(None, UseCase.MANAGEMENT, Usage(), error)
    rate_limiter.close()
    meta.server.control.reset("stats")
    began = time.monotonic()
    with pytest.raises(MetaApiError) as caught:
        validate_connection(database, settings, connection, datetime.now(UTC))
    assert time.monotonic() - began < LONGEST_WAIT
    assert caught.value.kind is ErrorKind.RATE_LIMIT
    assert "the next call may go in 1" in str(caught.value)
    assert "same command again" in str(caught.value)
    # The doctor does not blame the token for it.
    (finding,) = examine_connection(settings, database, connection)
    assert (finding.outcome, finding.check) == (Outcome.WARN, "default/main rate limit")
    assert "Wait 30 min" in finding.what_to_do
    assert meta.server.control.stats()["calls"] == 0

"""Tokens are renewed ahead of their end, proven first, by one process; trouble is told ahead."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_ads_pipeline.control.alerts import list_open_alerts
from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.credentials.brief_budget import brief_budget
from meta_ads_pipeline.credentials.checks import (
    inspect,
    validate_connection,
)
from meta_ads_pipeline.credentials.connection_tokens import token_lock
from meta_ads_pipeline.credentials.connections import (
    ConnectionStatus,
    TokenFacts,
    reload,
)
from meta_ads_pipeline.credentials.renewal import (
    RenewalOutcome,
    RenewalRefusedError,
    prove,
    refresh_connection,
    refresh_due_connections,
)
from meta_ads_pipeline.credentials.status import days_stage, renewal_due
from tests.meta_app import (
    DAY,
    PERSON,
    SYSTEM,
    MetaApp,
    stored,
    token_in_use,
)


def test_a_token_is_renewed_before_its_end(database: Database, meta: MetaApp) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    token = meta.token(type="USER", issued_at=now - 5 * DAY, expires_at=now + 55 * DAY)
    connection = stored(database, settings, token)
    (early,) = refresh_due_connections(database, settings, now)
    assert early.outcome is RenewalOutcome.NOT_DUE
    later = now + 30 * DAY
    meta.control.set_clock(later)
    (report,) = refresh_due_connections(database, settings, later)
    assert report.outcome is RenewalOutcome.RENEWED, report.message
    after = reload(database, connection.connection_id)
    assert after.facts.expires_at is not None
    assert after.facts.expires_at - later > 59 * DAY
    assert after.refreshed_at == later
    assert token_in_use(database, settings, after) not in {PERSON, ""}
    assert list_open_alerts(database) == []


def test_a_system_users_sixty_days_are_renewed_for_sixty_more(
    database: Database, meta: MetaApp
) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    token = meta.token(SYSTEM, issued_at=now - 50 * DAY, expires_at=now + 10 * DAY)
    stored(database, settings, token)
    (report,) = refresh_due_connections(database, settings, now)
    assert report.outcome is RenewalOutcome.RENEWED, report.message
    assert report.connection.facts.expires_at is not None
    assert report.connection.facts.expires_at > now + 59 * DAY


def test_the_old_token_stays_until_the_new_one_is_proven(database: Database, meta: MetaApp) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    token = meta.token(type="USER", issued_at=now - 50 * DAY, expires_at=now + 10 * DAY)
    connection = stored(database, settings, token)
    # The exchange works, the read with the new token does not.
    meta.control.add_fault("token", match={"edge": "me/adaccounts"}, after=1, subcode=460)
    connection, _ = validate_connection(database, settings, connection, now)
    (report,) = refresh_due_connections(database, settings, now)
    assert report.outcome is RenewalOutcome.FAILED
    assert "oauth/access_token" in meta.edges()
    assert token_in_use(database, settings, connection) == PERSON
    assert reload(database, connection.connection_id).status.usable
    kinds = {each.alert.kind for each in list_open_alerts(database)}
    assert kinds == {"token_refresh_failed", "token_expiring"}
    # Not again at once, again after a while; then all is well and nothing is alerted.
    meta.control.clear_faults()
    (soon,) = refresh_due_connections(database, settings, now + timedelta(hours=1))
    assert soon.outcome is RenewalOutcome.TRIED_RECENTLY
    (again,) = refresh_due_connections(database, settings, now + timedelta(hours=7))
    assert again.outcome is RenewalOutcome.RENEWED
    assert list_open_alerts(database) == []


def test_a_new_token_must_read_what_the_old_one_reads(database: Database, meta: MetaApp) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    old, new = meta.token(PERSON), meta.token(SYSTEM, accounts=meta.account_ids[:2])
    connection = stored(database, settings, old)
    found = inspect(settings, new, now)
    lost = meta.account_ids[2]
    with brief_budget(settings, database, connection) as rate_limiter:
        with pytest.raises(RenewalRefusedError, match=f"accounts stop {lost}"):
            prove(settings, connection, (old, new), found, meta.account_ids, rate_limiter)
        # What the old token does not read either is no reason against the new one.
        prove(settings, connection, (new, new), found, meta.account_ids, rate_limiter)


def test_one_process_at_a_time_renews(database: Database, meta: MetaApp) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    token = meta.token(type="USER", issued_at=now - 50 * DAY, expires_at=now + 10 * DAY)
    connection = stored(database, settings, token)
    meta.control.reset("stats")
    with token_lock(database, connection.connection_id) as ours:
        assert ours
        report = refresh_connection(database, settings, connection, now)
    assert report.outcome is RenewalOutcome.IN_PROGRESS
    outcomes: list[RenewalOutcome] = []

    def renew() -> None:
        outcomes.append(refresh_connection(database, settings, connection, now, force=True).outcome)

    threads = [threading.Thread(target=renew) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [RenewalOutcome.NOT_DUE] * 4 + [RenewalOutcome.RENEWED]
    assert meta.edges().count("oauth/access_token") == 1


def test_a_token_given_meanwhile_is_not_overwritten(database: Database, meta: MetaApp) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    token = meta.token(type="USER", issued_at=now - 50 * DAY, expires_at=now + 10 * DAY)
    old = stored(database, settings, token)
    stored(database, settings, meta.token(SYSTEM))
    report = refresh_connection(database, settings, old, now, force=True)
    assert report.outcome is RenewalOutcome.NOT_DUE
    assert token_in_use(database, settings, old) == SYSTEM


def test_what_cannot_be_renewed_is_told_ahead(
    database: Database, meta: MetaApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Alerts at 14, 7 and 1 days, each once, naming the fix; then the pause."""
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + 20 * DAY
    stored(database, meta.settings(), meta.token(type="USER", expires_at=end))
    meta.control.configure(require_proof=False)
    settings = meta.settings(META_APP_SECRET="")
    news: dict[float, list[str]] = {}
    for hours in range(0, 20 * 24, 6):
        at = now + timedelta(hours=hours)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            refresh_due_connections(database, settings, at)
        said = [r.getMessage() for r in caplog.records if "ends in" in r.getMessage()]
        if said:
            news[(end - at) / DAY] = said
    assert [round(days, 2) for days in news] == [14.0, 7.0, 1.0]
    for said in news.values():
        (line,) = said
        assert "META_APP_SECRET" in line
        assert PERSON not in line
    (alert,) = list_open_alerts(database)
    assert str(alert.alert.severity) == "critical"


def test_the_end_of_data_access_is_told_though_the_token_never_expires(
    database: Database, meta: MetaApp
) -> None:
    now = datetime.now(UTC)
    settings = meta.settings()
    connection = stored(
        database, settings, meta.token(type="USER", data_access_expires_at=now + 5 * DAY)
    )
    assert connection.status is ConnectionStatus.EXPIRING
    (report,) = refresh_due_connections(database, settings, now)
    assert report.outcome is RenewalOutcome.NOT_DUE
    (alert,) = list_open_alerts(database)
    assert alert.alert.kind == "data_access_expiring"
    assert "log in" in alert.alert.what_to_do.lower()


def test_one_connections_trouble_leaves_the_others_turns(database: Database, meta: MetaApp) -> None:
    now, settings = datetime.now(UTC), meta.settings()
    stored(database, MetaApp(meta.server, meta.home).settings(), meta.token(SYSTEM), "lost")
    due = meta.token(type="USER", issued_at=now - 50 * DAY, expires_at=now + 10 * DAY)
    stored(database, settings, due, "due")
    later = now + timedelta(hours=25)
    lost, renewed = refresh_due_connections(database, settings, later)
    assert (lost.outcome, renewed.outcome) == (RenewalOutcome.FAILED, RenewalOutcome.RENEWED)
    assert [each.alert.kind for each in list_open_alerts(database)] == ["token_unreadable"]


@given(life=st.integers(1, 24 * 90), elapsed=st.integers(0, 24 * 100))
def test_when_renewal_is_due(life: int, elapsed: int) -> None:
    """Never on a dead token; always in the last 14 days and the last half of its life."""
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    end, now = issued + timedelta(hours=life), issued + timedelta(hours=elapsed)
    due = renewal_due(TokenFacts(issued_at=issued, expires_at=end), now)
    if now >= end:
        assert not due
    else:
        assert due == (end - now <= 14 * DAY or elapsed >= life / 2)
    assert not renewal_due(TokenFacts(issued_at=issued), now)


@given(st.floats(-5, 40, allow_nan=False))
def test_stages_of_an_expiry(days: float) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    stage = days_stage(now + timedelta(days=days), now)
    expected = next((limit for limit in (1, 7, 14) if timedelta(days=days) <= limit * DAY), None)
    assert stage == expected

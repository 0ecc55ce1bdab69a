"""`meta-ads dead-letters`: look at what could not be used, replay it after a fix, or discard it."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from meta_ads_pipeline.control import dead_letters
from meta_ads_pipeline.control.dead_letters import DeadLetter
from meta_ads_pipeline.meta_api.client import MetaAdsClient
from meta_ads_pipeline.raw import normalize
from meta_ads_pipeline.raw.context import PullContext
from meta_ads_pipeline.raw.pull_accounts import pull_ad_accounts
from meta_ads_pipeline.raw.pull_entities import pull_entities
from meta_ads_pipeline.raw.pull_insights import pull_insights
from tests.meta_app import APP_ID, APP_SECRET, SYSTEM


@pytest.fixture
def letters(database):
    """Two open letters; their numbers."""
    with database.connect() as connection:
        dead_letters.record(
            connection,
            [
                DeadLetter(
                    *("1", "insights_daily", "spend: expected a number", '{"spend": 1.10}'),
                    object_id="1201",
                    source_call="act_1/insights",
                ),
                DeadLetter("2", "ads", "id: expected digits", '{"id": "x"}'),
            ],
        )
        found = dead_letters.find(connection)
    return sorted(letter.dead_letter_id for letter in found)


def test_letters_are_listed_with_filters(meta_ads, letters):
    code, said = meta_ads("dead-letters", "list")
    assert code == 0
    assert "spend: expected a number" in said
    assert "id: expected digits" in said

    def listed(*filters):
        code, out = meta_ads("dead-letters", "list", "--json", *filters)
        assert code == 0
        return [letter["dead_letter_id"] for letter in json.loads(out)]

    assert sorted(listed()) == letters
    assert listed("--account", "act_2") == letters[1:]
    assert listed("--asset", "insights_daily") == letters[:1]
    assert listed("--status", "discarded") == []
    assert listed("--limit", "1") in ([letters[0]], [letters[1]])


def test_one_is_shown_whole(meta_ads, letters):
    code, said = meta_ads("dead-letters", "show", str(letters[0]))
    assert code == 0
    assert '{"spend": 1.10}' in said, "the digits are kept"
    assert "act_1/insights" in said
    assert "first_seen_at" in said
    code, out = meta_ads("dead-letters", "show", "--json", str(letters[1]))
    assert json.loads(out)["document"] == {"id": "x"}


def test_discarding_needs_a_reason_and_keeps_it(meta_ads, letters):
    assert meta_ads("dead-letters", "discard", str(letters[0]))[0] == 2
    assert meta_ads("dead-letters", "discard", str(letters[0]), "--reason", " ")[0] == 2
    code, said = meta_ads("dead-letters", "discard", str(letters[0]), "--reason", "a test ad")
    assert (code, "discarded" in said) == (0, True)
    shown = json.loads(meta_ads("dead-letters", "show", "--json", str(letters[0]))[1])
    assert (shown["status"], shown["resolution"]) == ("discarded", "a test ad")
    code, said = meta_ads("dead-letters", "discard", str(letters[0]), "--reason", "again")
    assert f"not open any more: {letters[0]}" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "999"), 1, "dead letter 999"),
        (("replay", "999"), 1, "dead letter 999"),
        (("discard", "999", "--reason", "x"), 1, "dead letter 999"),
        (("replay",), 2, "--all"),
        (("list", "--account", "mine"), 2, "digits"),
        (("list", "--status", "lost"), 2, "lost"),
    ],
)
def test_wrong_use_is_told(meta_ads, arguments, code, says):
    given, said = meta_ads("dead-letters", *arguments)
    assert given == code
    assert says in " ".join(said.split())
    assert "Traceback" not in said


def test_what_stays_open_is_told_by_the_exit_code(meta_ads, letters):
    code, out = meta_ads("dead-letters", "replay", "--all", "--json")
    assert code == 1
    report = json.loads(out)
    assert (report["landed"], report["still_open"]) == (0, 2)


@pytest.mark.slow
def test_a_row_that_was_bad_lands_after_the_fix_and_the_day_reconciles(
    meta_ads, meta, database, monkeypatch
):
    label = "07:00:00 - 07:59:59"
    known = dict(normalize.HOUR_OF_LABEL)
    monkeypatch.setattr(normalize, "HOUR_OF_LABEL", {k: v for k, v in known.items() if k != label})
    context = PullContext("sync", "run")
    meta.token(SYSTEM)
    with MetaAdsClient(
        access_token=SYSTEM, app_id=APP_ID, app_secret=APP_SECRET, graph_url=meta.server.url
    ) as client:
        account = pull_ad_accounts(database, client, ctx=context)[0]
        today = meta.server.control.now().astimezone(ZoneInfo(account.timezone)).date()
        day = today - timedelta(days=40)
        for asset in ("insights_daily", "insights_hourly", "account_totals"):
            pull_insights(database, client, account, asset, [day], context)
        for kind in ("ad", "adset", "campaign", "creative"):
            pull_entities(database, client, account, kind, [day], context)

    def total(table):
        with database.connect() as connection:
            query = f"select sum(spend) as spend from {table} where account_id = %s"
            return connection.execute(query.encode(), [account.account_id]).fetchone()["spend"]

    (truth,) = meta.server.control.truth(account.account_id, day, day)
    assert total("raw.insights_hourly") < Decimal(truth["spend"])
    waiting = json.loads(meta_ads("dead-letters", "list", "--json", "--status", "open")[1])
    assert waiting
    assert all(label in letter["reason"] for letter in waiting)
    assert meta_ads("dead-letters", "replay", "--all", "--no-build")[0] == 1

    monkeypatch.setattr(normalize, "HOUR_OF_LABEL", known)
    code, out = meta_ads("dead-letters", "replay", "--account", account.account_id, "--json")
    report = json.loads(out)
    assert (code, report["landed"], report["problems"]) == (0, len(waiting), []), report
    assert total("raw.insights_hourly") == total("marts.account_daily") == Decimal(truth["spend"])
    with database.connect() as connection:
        statuses = connection.execute(
            "select distinct status from marts.reconciliation where event_date = %s", [day]
        ).fetchall()
    assert statuses == [{"status": "reconciled"}]

"""An assistant's questions, asked with the SDK's own client, against SQL."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamablehttp_client

from meta_ads_pipeline.control import api_keys
from meta_ads_pipeline.control.database import Database
from tests.serving.conftest import Service
from tests.serving.small_marts import DEFAULT, FIRST, LAST, fill

Calls = Callable[..., list[Any]]

DATES = {"start": str(FIRST), "end": str(LAST)}
QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("list_measures", {}),
    ("query_metrics", {"measures": ["spend"], "filters": {"account": ["1"]}, **DATES}),
    ("query_metrics", {"measures": ["clicks"], "group_by": ["campaign"],
                       "filters": {"provider": ["meta"]}, "sort": ["-clicks"], **DATES}),
    ("query_metrics", {"measures": ["roas"], "start": "2026-10-26", "end": "2026-11-01",
                       "filters": {"currency": ["EUR"]}, "compare": "previous_period"}),
    ("find_entities", {"search": "CAMPAIGN 12"}),
    ("explain_number", {"account_id": "act_1", "day": "2026-10-26", "measure": "spend"}),
    ("explain_number", {"account_id": "1", "day": "2026-10-30", "measure": "revenue"}),
)  # fmt: skip
EVERYTHING = ("query_metrics", {"measures": ["clicks"], "group_by": ["account"], **DATES})
FOREIGN = ("explain_number", {"account_id": "1", "day": "2026-10-26", "measure": "spend"})
TOO_MANY = ("query_metrics", {"measures": ["clicks"], "group_by": ["ad"], "breakdown": "hour",
                              "limit": 100_000, **DATES})  # fmt: skip


@pytest.fixture
def calls(database: Database, service: Service) -> Calls:
    """Call tools in one session: the answers as documents; a refusal as its text."""
    fill(database)

    def call(*asked: tuple[str, dict[str, Any]], workspace: str = "default") -> list[Any]:
        key = api_keys.create_key(database, workspace=workspace, member="bot", name="mcp")[0]
        return asyncio.run(_session(service.url, key, asked))

    return call


async def _session(url: str, key: str, asked: tuple[tuple[str, dict[str, Any]], ...]) -> list[Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        streamablehttp_client(f"{url}/mcp", headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        return await _asked(session, asked)


async def _asked(session: ClientSession, asked: Iterable[tuple[str, dict[str, Any]]]) -> list[Any]:
    """The tools by name, then each answer as a document; a refusal as its text."""
    await session.initialize()
    answers: list[Any] = [{tool.name: tool for tool in (await session.list_tools()).tools}]
    for name, arguments in asked:
        result = await session.call_tool(name, arguments)
        text = result.content[0].text
        answers.append(text if result.isError else json.loads(text))
    return answers


def value(database: Database, query: str) -> Any:
    with database.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
    return next(iter(row.values()))


def test_everyday_questions_get_the_numbers_of_the_facts(calls: Calls, database: Database):
    mine = f"from marts.metric_facts where workspace_id = '{DEFAULT}'"
    tools, measures, spent, best, week, found, why, held = calls(*QUESTIONS)
    assert all(tool.annotations.readOnlyHint for tool in tools.values())
    assert measures["measures"]["roas"]["of"] == "revenue"
    assert spent["rows"][0]["spend"] == str(
        value(database, f"select sum(spend) {mine} and account_id = '1'")
    )
    assert best["rows"][0]["campaign"] == value(
        database,
        f"select campaign_id {mine} and provider = 'meta' group by 1 order by sum(clicks) desc",
    )
    assert float(week["rows"][0]["roas"]) == pytest.approx(
        float(value(database, f"select sum(revenue) / sum(spend) {mine} and currency = 'EUR'"
                              " and event_date between '2026-10-26' and '2026-11-01'"))
    )  # fmt: skip
    assert week["rows"][0]["previous_roas"] is not None
    assert {each["external_entity_id"] for each in found["entities"]} == {"120", "121"}
    assert "they agree; settled" in why["sentence"]
    assert why["served_value"] == str(
        value(database, f"select sum(spend) {mine} and account_id = '1' and source = 'insights'"
                        " and event_date = '2026-10-26'")
    )  # fmt: skip
    assert why["changes"][0]["old_value"] == "4"
    assert "they do not agree (mismatch" in held["sentence"]


def test_wrong_questions_are_answered_with_what_could_be_asked(calls: Calls):
    _, measure, day, rows = calls(
        ("query_metrics", {"measures": ["profit"]}),
        ("explain_number", {"account_id": "1", "day": "2020-01-01", "measure": "spend"}),
        TOO_MANY,
    )
    assert "'profit' is none of spend" in measure
    assert "nothing was pulled of act_1 on 2020-01-01" in day
    assert len(rows["rows"]) == min(rows["total_rows"], 500)


def test_a_key_sees_its_own_workspace_and_no_key_nothing(calls: Calls, service: Service):
    _, numbers, refused = calls(EVERYTHING, FOREIGN, workspace="other")
    assert [row["account"] for row in numbers["rows"]] == ["9"]
    assert "nothing was pulled of act_1" in refused
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    answer = service.post("/mcp", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_over_stdio_the_same_questions_get_the_same_answers(
    calls: Calls, database: Database, tmp_path: Path
):
    asked = (*QUESTIONS, TOO_MANY)
    by_http = calls(*asked)
    keys = {
        name: api_keys.create_key(database, workspace=name, member="pipe", name="stdio")
        for name in ("default", "other")
    }

    async def by_stdio(workspace: str) -> list[Any]:
        program = StdioServerParameters(
            command=sys.executable,
            args=["-m", "meta_ads_pipeline.cli", "mcp"],
            env={
                **os.environ,
                "META_ADS_HOME": str(tmp_path),
                "META_ADS_DATABASE_URL": database.url,
                "META_ADS_API_KEY": keys[workspace][0],
            },
        )
        async with stdio_client(program) as (read, write), ClientSession(read, write) as session:
            if workspace == "default":
                return await _asked(session, asked)
            answers = await _asked(session, (EVERYTHING, FOREIGN))
            api_keys.revoke_key(database, keys["other"][1].prefix)
            return [*answers, await session.call_tool(*EVERYTHING)]

    async def both() -> list[list[Any]]:
        return await asyncio.gather(by_stdio("default"), by_stdio("other"))

    mine, others = asyncio.run(both())
    assert mine[0].keys() == by_http[0].keys()
    assert mine[1:] == by_http[1:]
    _, numbers, refused, revoked = others
    assert [row["account"] for row in numbers["rows"]] == ["9"]
    assert "nothing was pulled of act_1" in refused
    assert revoked.isError
    assert "not a usable key" in revoked.content[0].text

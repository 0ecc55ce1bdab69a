"""Batch requests: up to 50 calls in one POST, each counted, answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from meta_graph_simulator.endpoints.routing import Graph, split_path
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import GraphError, invalid_parameter
from meta_graph_simulator.graph.fields import parse_flag

MAX_BATCH = 50


def take_credentials(params: dict[str, str]) -> tuple[str | None, str | None]:
    """Remove token and proof from parameters and return them."""
    return params.pop("access_token", None), params.pop("appsecret_proof", None)


async def answer_batch(graph: Graph, call: GraphCall) -> Answer:
    """The answer to ``POST /`` with ``batch``: HTTP 200 and an array in request order.

    Only faults that name the edge ``batch`` strike the request as a whole.

    Raises GraphError: the batch itself is malformed, too long, or its token does not work.
    """
    graph.simulator.faults.refuse(call)
    try:
        members = orjson.loads(call.params.get("batch", ""))
    except orjson.JSONDecodeError:
        raise invalid_parameter("batch parameter must be a JSON array") from None
    if not isinstance(members, list):
        raise invalid_parameter("batch parameter must be a JSON array")
    if len(members) > MAX_BATCH:
        raise GraphError(
            100,
            f"Too many requests in batch message. Maximum batch size is {MAX_BATCH}",
            type_="GraphBatchException",
        )
    graph.simulator.tokens.authenticate(call.token, call.proof)
    graph.simulator.stats.batches += 1
    text = call.params.get("include_headers")
    with_headers = text is None or parse_flag(text)
    items = await asyncio.gather(*(_member(graph, call, raw, with_headers) for raw in members))
    return Answer.json(items)


async def _member(
    graph: Graph, batch: GraphCall, raw: object, with_headers: bool
) -> dict[str, Any] | None:
    if not isinstance(raw, Mapping) or "relative_url" not in raw:
        missing = GraphError(100, "Each batch item needs method and relative_url")
        return _item(Answer.error(missing, batch.trace_id), with_headers)
    call = member_call(batch, raw)
    if graph.simulator.faults.skips_batch_member(call):
        return None
    answer = await graph.answer(call)
    if answer.reset_after is not None:
        return None
    return _item(answer, with_headers)


def member_call(batch: GraphCall, raw: Mapping[str, Any]) -> GraphCall:
    """The call that a batch member stands for; it inherits version and token."""
    url = urlsplit("/" + str(raw["relative_url"]).lstrip("/"))
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    body = raw.get("body")
    if isinstance(body, str):
        params |= dict(parse_qsl(body, keep_blank_values=True))
    token, proof = take_credentials(params)
    if "access_token" in raw:
        token = str(raw["access_token"])
    version, segments = split_path(url.path)
    return GraphCall(
        method=str(raw.get("method", "GET")).upper(),
        segments=segments,
        params=params,
        base_url=batch.base_url,
        version=version or batch.version,
        token=token or batch.token,
        proof=proof if token else (proof or batch.proof),
        in_batch=True,
    )


def _item(answer: Answer, with_headers: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"code": answer.status}
    if with_headers:
        headers = [("Content-Type", answer.content_type), *answer.headers]
        item["headers"] = [{"name": name, "value": value} for name, value in headers]
    item["body"] = answer.body.decode("utf-8", "replace")
    return item

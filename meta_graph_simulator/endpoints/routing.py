"""Routing of Graph calls: version, token, limits and faults first, then node, edge or job."""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import Any

from meta_graph_simulator.accounts.node_store import EDGES, Node
from meta_graph_simulator.config import TokenSpec
from meta_graph_simulator.endpoints.edges import EntityEdges
from meta_graph_simulator.endpoints.insights import InsightsEdge, requested_names
from meta_graph_simulator.endpoints.nodes import NodeReader
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.endpoints.users import Users
from meta_graph_simulator.graph import errors
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import GraphError
from meta_graph_simulator.graph.fields import FieldSpec, parse_fields, pick, version_number
from meta_graph_simulator.insights.report_runs import ReportRun

_VERSION = re.compile(r"v\d+\.\d+")
_UNVERSIONED = frozenset({"debug_token", "oauth", "me"})
_INSIGHTS_NODES = frozenset({"account", "campaign", "adset", "ad"})


class Graph:
    """Answers Graph calls; knows nothing of HTTP connections."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.insights = InsightsEdge(simulator)
        self._reader = NodeReader(simulator.nodes, self._expand)
        self._edges = EntityEdges(simulator, self._reader)
        self._people = Users(simulator, self._reader)
        self._random = random.Random(simulator.config.seed)  # noqa: S311 - jitter only

    def _expand(self, call: GraphCall, node: Node, spec: FieldSpec) -> dict[str, Any] | None:
        edge = self.insights if spec.name == "insights" else self._edges
        return edge.expand(call, node, spec)

    async def answer(self, call: GraphCall) -> Answer:
        """One call from routing to statistics. Never raises for what a client can cause."""
        started = time.perf_counter()
        simulator, faults = self.simulator, self.simulator.faults
        try:
            target = self._classify(call)
            call.fields = call.fields or tuple(requested_names(call.params))
            await self._delay(call)
            answer = faults.replace(call)
            if answer is None:
                answer = faults.rewrite(call, await self._handle(call, target))
        except GraphError as error:
            answer = Answer.error(faults.reword(call, error), call.trace_id)
        if answer.reset_after is None:
            faults.send(call, answer)
        simulator.throttle.charge_rows(call)
        if simulator.config.send_usage_headers and not faults.hides_usage(call):
            answer.headers += simulator.throttle.headers(call)
        answer.headers += self._identity_headers(call)
        elapsed = (time.perf_counter() - started) * 1000
        simulator.stats.record(
            call,
            answer,
            at=simulator.clock.time(),
            ms=elapsed,
        )
        return answer

    async def _delay(self, call: GraphCall) -> None:
        config = self.simulator.config
        seconds = self.simulator.faults.delay(call)
        if config.latency_ms or config.latency_jitter_ms:
            seconds += (config.latency_ms + config.latency_jitter_ms * self._random.random()) / 1000
        if seconds:
            await asyncio.sleep(seconds)

    def _identity_headers(self, call: GraphCall) -> list[tuple[str, str]]:
        headers = [
            ("facebook-api-version", call.served_version or self.simulator.config.latest_version),
            ("x-fb-trace-id", call.trace_id),
            ("x-fb-request-id", call.trace_id[::-1]),
            ("x-fb-rev", "1031000000"),
        ]
        if call.version and call.served_version and call.version != call.served_version:
            latest = self.simulator.config.latest_version
            warning = (
                f"The call has been auto-upgraded to {call.served_version}; latest is {latest}"
            )
            headers.append(("X-Ad-Api-Version-Warning", warning))
        return headers

    def _classify(self, call: GraphCall) -> Node | ReportRun | None:
        """Find out what is called, for fault matching, budgets and statistics."""
        segments, nodes = call.segments, self.simulator.nodes
        call.level = call.params.get("level")
        if not segments:
            call.edge = "root"
            return None
        head, edge = segments[0], segments[1] if len(segments) > 1 else None
        if head in {"me", "debug_token", "oauth"}:
            call.edge = "/".join(segments)
            return None
        job = self.simulator.jobs.find(head)
        if job is not None:
            call.account_id = job.account_id
            call.edge = "report_insights" if edge == "insights" else edge or "report_run"
            call.level = job.results.request.level
            if edge == "insights":
                call.fields = job.results.request.queries[0].fields or ()
            return job
        node = nodes.find(head)
        if head.startswith("act_"):
            call.account_id = head.removeprefix("act_")
        elif node is not None:
            call.account_id = node.account_id
        call.edge = edge or (node.kind if node is not None else "object")
        if edge == "insights" and call.method == "POST":
            call.edge = "insights_async"
        return node

    async def _handle(self, call: GraphCall, target: Node | ReportRun | None) -> Answer:
        self._check_version(call)
        self.simulator.faults.refuse(call)
        if call.edge == "oauth/access_token":
            return Answer.json(self.simulator.tokens.exchange(call.params))
        spec = self.simulator.tokens.authenticate(call.token, call.proof)
        self.simulator.throttle.admit(call)
        if len(call.segments) > 2:
            raise errors.unknown_path("/".join(call.segments[2:]))
        if not call.segments:
            return self._root(call)
        if call.segments == (self.simulator.config.app_id, "subscriptions"):
            return await self._people.subscribe(call, None)
        if target is None:
            person = self._people.answer(call, spec)
            if person is not None:
                return person
        return await self._object(call, target, spec)

    def _check_version(self, call: GraphCall) -> None:
        config = self.simulator.config
        if call.version is None:
            if call.segments and call.segments[0] in _UNVERSIONED:
                call.served_version = config.latest_version
                return
            raise errors.version_expired(config.latest_version)
        call.served_version = call.version
        if call.version in config.live_versions:
            return
        if version_number(call.version) > version_number(config.latest_version):
            raise errors.unknown_path("/".join((call.version, *call.segments)))
        if config.auto_upgrade_expired:
            call.served_version = min(config.live_versions, key=version_number)
            return
        raise errors.version_expired(config.latest_version)

    @staticmethod
    def _root(call: GraphCall) -> Answer:
        if "ids" in call.params:
            raise errors.invalid_parameter(
                "The ids parameter is not supported on this version of the API."
            )
        raise GraphError(100, "(#100) Unsupported root request", type_="GraphMethodException")

    async def _object(
        self, call: GraphCall, target: Node | ReportRun | None, spec: TokenSpec
    ) -> Answer:
        head = call.segments[0]
        edge = call.segments[1] if len(call.segments) > 1 else None
        if target is None:
            if head.isdigit() or head.startswith("act_"):
                raise errors.unsupported_get(head, call.method.lower())
            raise errors.unknown_alias(head)
        if isinstance(target, Node) and target.kind == "account":
            self.simulator.tokens.check_account(spec, target.account_id)
        elif spec.accounts is not None and target.account_id not in spec.accounts:
            raise errors.unsupported_get(head, call.method.lower())
        if isinstance(target, ReportRun):
            return await self._job(call, target, edge)
        if edge is None:
            if call.method != "GET":
                raise errors.unsupported_get(head, call.method.lower())
            call.rows += 1
            document = self._reader.read(call, target, parse_fields(call.params.get("fields")))
            return Answer.json(document)
        if edge == "insights" and target.kind in _INSIGHTS_NODES:
            if call.method == "POST":
                return self.insights.create_job(call, target)
            return await self.insights.read(call, target)
        if edge == "subscribed_apps" and target.kind == "account":
            return await self._people.subscribe(call, target.account_id)
        kind = EDGES.get(target.kind, {}).get(edge)
        if kind is not None and call.method == "GET":
            return Answer.json(self._edges.page(call, target, kind))
        return self._people.other_edge(call, target, edge, spec)

    async def _job(self, call: GraphCall, job: ReportRun, edge: str | None) -> Answer:
        if edge == "insights":
            return await self.insights.read_job(call, job)
        if edge is not None:
            raise errors.nonexisting_field(edge, "AdReportRun")
        document = await self.simulator.jobs.document(job)
        specs = parse_fields(call.params.get("fields"))
        self._reader.check(call, "report_run", specs, document)
        if specs:
            chosen = {spec.name: spec.children for spec in specs}
            document = {
                name: pick(value, chosen.get(name))
                for name, value in document.items()
                if name in chosen or name == "id"
            }
        return Answer.json(document)


def split_path(path: str) -> tuple[str | None, tuple[str, ...]]:
    """Version (None without) and further segments of a path; empty segments do not count."""
    segments = tuple(part for part in path.split("/") if part)
    if segments and _VERSION.fullmatch(segments[0]):
        return segments[0], segments[1:]
    return None, segments

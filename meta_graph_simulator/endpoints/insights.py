"""The insights edges: synchronous reads, creation of report runs, and their results."""

from __future__ import annotations

import itertools
from typing import Any

import orjson

from meta_graph_simulator.accounts.node_store import Node
from meta_graph_simulator.endpoints.edges import fields_text
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import (
    bad_cursor,
    too_much_data,
)
from meta_graph_simulator.graph.fields import FieldSpec, parse_fields, parse_flag
from meta_graph_simulator.graph.paging import PageRequest, encode_cursor, paging_links
from meta_graph_simulator.insights.parameters import ReportRequest, read_report_request
from meta_graph_simulator.insights.report_runs import Outcome, ReportRun
from meta_graph_simulator.insights.results import ResultSet

_nonces = itertools.count(1)


class InsightsEdge:
    """Everything under ``/insights``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def _request(self, call: GraphCall, node: Node, params: dict[str, str]) -> ReportRequest:
        return read_report_request(
            node,
            params,
            version=call.served_version,
            today=self._simulator.nodes.today(node.account_id),
            offsite_by_hour=not self._simulator.config.hourly_hides_off_meta_actions,
        )

    async def read(self, call: GraphCall, node: Node) -> Answer:
        """``GET /<node>/insights``.

        Raises GraphError: bad parameters, or too large a result for a synchronous call.
        """
        request = self._request(call, node, call.params)
        results = self._simulator.reports.live(request)
        limit = self._simulator.config.max_sync_rows
        if limit is not None:
            bound = results.upper_bound()
            if (bound is None or bound > limit) and await results.count_up_to(limit) > limit:
                raise too_much_data(self._simulator.config.too_much_data_variant)
        return await self._page(call, results, request.with_summary)

    def create_job(self, call: GraphCall, node: Node) -> Answer:
        """``POST /<node>/insights``: start a report run.

        Raises GraphError: bad parameters.
        """
        request = self._request(call, node, call.params)
        fate = self._simulator.faults.report(call) or {}
        outcome: Outcome = fate.pop("outcome", "completed")
        stuck_at = int(fate.pop("percent", 0))
        seconds = fate.pop("seconds", None)
        job = self._simulator.jobs.create(
            self._simulator.reports.frozen(request),
            outcome=outcome,
            stuck_at=stuck_at,
            failure=fate,
            seconds=None if seconds is None else float(seconds),
        )
        quoted = self._simulator.config.quoted_report_run_id
        return Answer.json({"report_run_id": job.id if quoted else int(job.id)})

    async def read_job(self, call: GraphCall, job: ReportRun) -> Answer:
        """``GET /<report_run_id>/insights``: 25 rows a page whatever limit the job had.

        Raises GraphError: 2601/1815107 before completion.
        """
        await self._simulator.jobs.check_readable(job)
        with_summary = job.with_summary or parse_flag(call.params.get("default_summary"))
        return await self._page(call, job.results, with_summary)

    async def _page(self, call: GraphCall, results: ResultSet, with_summary: bool) -> Answer:
        config = self._simulator.config
        page = PageRequest.from_params(call.params, config.default_limit, config.max_limit)
        faults = self._simulator.faults
        rows = await results.compute_all() if faults.wants_rows(call) else None
        faults.refuse_size(call, page.limit, rows)
        after, before = _row_number(page.after), _row_number(page.before)
        if after is not None and after >= await results.count_up_to(after):
            raise bad_cursor()
        start, stop = page.window(after, before)
        at_most = faults.page_rows(call)
        found = await results.slice(start, stop if at_most is None else min(stop, start + at_most))
        stop = start + found.count
        call.rows += found.count
        paging = b""
        if found.count or found.more:
            links = paging_links(
                call.base_url,
                call.versioned_path,
                call.params,
                call.token,
                limit=page.limit,
                first=encode_cursor(str(start)),
                last=encode_cursor(
                    str(stop - 1) if found.count else f"{stop - 1}~{next(_nonces)}",
                ),
                has_next=found.more,
                has_previous=start > 0 and found.count > 0,
            )
            paging = b',"paging":' + orjson.dumps(links)
        summary = b',"summary":' + orjson.dumps(results.summary()) if with_summary else b""
        return Answer(200, b'{"data":[' + found.body + b"]" + paging + summary + b"}")

    def expand(self, call: GraphCall, node: Node, spec: FieldSpec) -> dict[str, Any] | None:
        """``insights.date_preset(..){..}`` in a field list: its first page, None if empty."""
        params = {name: value for name, value in spec.modifiers.items() if name != "as"}
        params["fields"] = fields_text(spec.children or [])
        request = self._request(call, node, params)
        results = self._simulator.reports.live(request)
        default = self._simulator.config.default_limit
        limit = PageRequest.from_params(params, default, self._simulator.config.max_limit).limit
        rows = results.head(limit)
        if not rows.count:
            return None
        call.rows += rows.count
        return {
            "data": orjson.loads(b"[" + rows.body + b"]"),
            "paging": paging_links(
                call.base_url,
                f"/{call.version}/{node.id}/insights",
                params,
                call.token,
                limit=limit,
                first=encode_cursor("0"),
                last=encode_cursor(str(rows.count - 1)),
                has_next=rows.more,
                has_previous=False,
            ),
        }


def _row_number(key: str | None) -> int | None:
    if key is None:
        return None
    number = key.partition("~")[0]
    try:
        return max(-1, int(number))
    except ValueError:
        raise bad_cursor() from None


def requested_names(params: dict[str, str]) -> list[str]:
    """Top-level names of a ``fields`` parameter."""
    return [spec.name for spec in parse_fields(params.get("fields"))]

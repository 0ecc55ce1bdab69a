"""The insights edges: synchronous reads, creation of report runs, and their results."""

from __future__ import annotations

import itertools
from typing import Any, cast

import orjson

from meta_graph_simulator.accounts.node_store import Node
from meta_graph_simulator.endpoints.edges import fields_text
from meta_graph_simulator.endpoints.state import Simulator
from meta_graph_simulator.faults.registry import JOB_KINDS
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import (
    GraphError,
    bad_cursor,
    too_much_data,
    unsupported_get,
)
from meta_graph_simulator.graph.fields import FieldSpec, parse_fields, parse_flag
from meta_graph_simulator.graph.filtering import matches, object_lookup, parse_filtering
from meta_graph_simulator.graph.paging import PageRequest, PageShape, encode_cursor, paging_links
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

    def _check_faults(self, call: GraphCall, node: Node, request: ReportRequest) -> None:
        faults = self._simulator.faults
        names = request.queries[0].fields or ()
        error = faults.unfetchable_field(call, names)
        if error is None and request.level == "ad":
            error = self._inaccessible_ad(call, node)
        if error is not None:
            raise error

    def _inaccessible_ad(self, call: GraphCall, node: Node) -> GraphError | None:
        """The failure of a level=ad request that covers an ad the token cannot read."""
        nodes = self._simulator.nodes

        def covered(ad_id: str) -> bool:
            ad = nodes.find(ad_id)
            if ad is None or ad.account_id != node.account_id:
                return False
            above = nodes.parents(ad, ad.document)
            if node.kind != "account" and node.id not in (
                ad_id,
                *(str(parent["id"]) for parent in above.values()),
            ):
                return False
            lookup = object_lookup("ad", ad.document, above)
            conditions = parse_filtering(call.params.get("filtering"))
            identifying = [c for c in conditions if c.field.rpartition(".")[2] in _IDENTIFYING]
            return all(matches(condition, lookup) for condition in identifying)

        fault = self._simulator.faults.first(
            {"inaccessible_ad"}, call, lambda fault: covered(str(fault.params.get("ad_id")))
        )
        return None if fault is None else unsupported_get(str(fault.params["ad_id"]))

    async def read(self, call: GraphCall, node: Node, shape: PageShape) -> Answer:
        """``GET /<node>/insights``.

        Raises GraphError: bad parameters, or too large a result for a synchronous call.
        """
        request = self._request(call, node, call.params)
        self._check_faults(call, node, request)
        results = self._simulator.reports.live(request)
        limit = self._simulator.config.max_sync_rows
        if limit is not None:
            bound = results.upper_bound()
            if (bound is None or bound > limit) and await results.count_up_to(limit) > limit:
                raise too_much_data(self._simulator.config.too_much_data_variant)
        return await self._page(call, results, shape, request.with_summary)

    def create_job(self, call: GraphCall, node: Node) -> Answer:
        """``POST /<node>/insights``: start a report run.

        Raises GraphError: bad parameters.
        """
        request = self._request(call, node, call.params)
        self._check_faults(call, node, request)
        fault = self._simulator.faults.first(JOB_KINDS, call)
        params: dict[str, Any] = dict(fault.params) if fault is not None else {}
        outcome = cast(
            "Outcome", fault.kind.removeprefix("job_") if fault is not None else "completed"
        )
        stuck_at = int(params.pop("percent", 0))
        seconds = params.pop("seconds", None)
        job = self._simulator.jobs.create(
            self._simulator.reports.frozen(request),
            outcome=outcome,
            stuck_at=stuck_at,
            failure=params,
            seconds=None if seconds is None else float(seconds),
        )
        quoted = self._simulator.config.quoted_report_run_id
        return Answer.json({"report_run_id": job.id if quoted else int(job.id)})

    async def read_job(self, call: GraphCall, job: ReportRun, shape: PageShape) -> Answer:
        """``GET /<report_run_id>/insights``: 25 rows a page whatever limit the job had.

        Raises GraphError: 2601/1815107 before completion.
        """
        await self._simulator.jobs.check_readable(job)
        with_summary = job.with_summary or parse_flag(call.params.get("default_summary"))
        return await self._page(call, job.results, shape, with_summary)

    async def _page(
        self, call: GraphCall, results: ResultSet, shape: PageShape, with_summary: bool
    ) -> Answer:
        config = self._simulator.config
        page = PageRequest.from_params(call.params, config.default_limit, config.max_limit)
        faults = self._simulator.faults
        fields = results.request.queries[0].fields or ()
        error = faults.too_much_data(call, fields=fields, limit=page.limit)
        if error is None and faults.has_row_limit():
            total = await results.compute_all()
            error = faults.too_much_data(call, fields=fields, rows=total)
        if error is not None:
            raise error
        after, before = _row_number(page.after), _row_number(page.before)
        if after is not None and after >= await results.count_up_to(after):
            raise bad_cursor()
        start, whole_stop = page.window(after, before)
        start, stop = shape.apply(start, whole_stop)
        rows = await results.slice(start, stop)
        stop = start + rows.count
        call.rows += rows.count
        paging = b""
        if rows.count or rows.more:
            links = paging_links(
                call.base_url,
                call.versioned_path,
                call.params,
                call.token,
                limit=page.limit,
                first=encode_cursor(str(start)),
                last=encode_cursor(
                    str(stop - 1) if rows.count else f"{stop - 1}~{next(_nonces)}",
                ),
                has_next=rows.more,
                has_previous=start > 0 and rows.count > 0,
            )
            paging = b',"paging":' + orjson.dumps(links)
        summary = b',"summary":' + orjson.dumps(results.summary()) if with_summary else b""
        return Answer(200, b'{"data":[' + rows.body + b"]" + paging + summary + b"}")

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


_IDENTIFYING = frozenset({"id", "effective_status", "status"})


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

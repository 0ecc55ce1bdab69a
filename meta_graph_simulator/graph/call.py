"""One Graph API call and its answer, independent of HTTP: batch members take the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from meta_graph_simulator.graph.errors import GraphError, new_trace_id


@dataclass(slots=True)
class GraphCall:
    """A parsed call. ``params`` hold neither token nor proof; nothing here is logged with them."""

    method: str
    segments: tuple[str, ...]
    params: dict[str, str]
    base_url: str
    version: str | None = None
    token: str | None = field(default=None, repr=False)
    proof: str | None = field(default=None, repr=False)
    in_batch: bool = False
    # Found while routing; faults match on them and statistics count by them.
    edge: str = "unknown"
    account_id: str | None = None
    level: str | None = None
    trace_id: str = field(default_factory=new_trace_id)
    served_version: str = ""
    rows: int = 0
    fields: tuple[str, ...] = ()  # top-level names asked for; of a result page, those of its report
    faults: list[str] = field(default_factory=list)  # kinds that struck

    @property
    def path(self) -> str:
        """Path without version and trailing slash: ``/act_1/insights``."""
        return "/" + "/".join(self.segments)

    @property
    def versioned_path(self) -> str:
        """Path for links back to this listing."""
        return f"/{self.version}{self.path}" if self.version else self.path

    @property
    def is_insights(self) -> bool:
        """Whether the call counts against the insights budget and carries its throttle header."""
        return self.edge in {"insights", "insights_async", "report_insights"}

    @property
    def is_write(self) -> bool:
        """Writes score three times a read; creating a report is no write of an ads object."""
        return self.method in {"POST", "DELETE"} and self.edge not in {"insights_async", "batch"}


@dataclass(slots=True)
class Answer:
    """What goes back: status, JSON bytes, headers beside the usual ones."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_type: str = "application/json; charset=UTF-8"
    error_code: int | None = None
    error_subcode: int | None = None
    # Set by transport faults: send this share of the body, then reset the connection.
    reset_after: float | None = None

    @classmethod
    def json(cls, document: Any, status: int = 200) -> Answer:
        """An answer with a JSON document, compact as Meta sends it."""
        return cls(status, orjson.dumps(document))

    @classmethod
    def error(cls, error: GraphError, trace_id: str) -> Answer:
        """The answer for a Graph error, with the header that repeats its text."""
        answer = cls.json(error.body(trace_id), error.http_status)
        answer.error_code, answer.error_subcode = error.code, error.subcode
        text = error.message.replace('"', "'").encode("ascii", "replace").decode()
        answer.headers.append(
            ("WWW-Authenticate", f'OAuth "Facebook Platform" "invalid_request" "{text[:300]}"')
        )
        return answer

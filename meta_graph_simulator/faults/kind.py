"""What a kind of fault may do to a call: one method for each moment at which it can strike.

A kind overrides the methods of its moments and returns None where the call does not concern it.
Its docstring is what ``--list-faults`` prints; ``params`` names its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from meta_graph_simulator.accounts.node_store import NodeStore
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import GraphError

if TYPE_CHECKING:
    from meta_graph_simulator.faults.fault import Fault

# JSON that no Python library writes (``1e200000``): put in as text with this prefix, and taken out
# of its quotes when the response is written.
RAW_JSON = "raw-json:"


class FaultKind:
    """A kind of trouble. Methods change only the document: a fault may still spare the call."""

    name: ClassVar[str]
    params: ClassVar[Mapping[str, str]] = {}
    once_per_path: ClassVar[bool] = False  # unless the fault says how often

    def __init__(self, nodes: NodeStore) -> None:
        self.nodes = nodes

    @classmethod
    def description(cls) -> str:
        """What happens, as one paragraph."""
        return " ".join((cls.__doc__ or "").split())

    def delay(self, fault: Fault, call: GraphCall) -> float | None:
        """Seconds to wait before anything else."""

    def replace(self, fault: Fault, call: GraphCall) -> Answer | None:
        """A response in place of the call's own, which is then not computed."""

    def refuse(self, fault: Fault, call: GraphCall) -> GraphError | None:
        """An error in place of the call's own response."""

    def refuse_size(
        self, fault: Fault, call: GraphCall, limit: int, rows: int | None
    ) -> GraphError | None:
        """An error that depends on the size of page and result; ``rows`` only if needed."""

    def needs_rows(self, fault: Fault) -> bool:
        """Whether ``refuse_size`` wants to know the rows of the whole result."""
        return False

    def page_rows(self, fault: Fault, call: GraphCall) -> int | None:
        """At most so many rows on this page, while more follow."""

    def report(self, fault: Fault, call: GraphCall) -> dict[str, Any] | None:
        """What becomes of the report run that the call creates."""

    def rewrite(self, fault: Fault, call: GraphCall, document: Any) -> Any:
        """Another document (or an error) in place of the JSON document of a success."""

    def reword(self, fault: Fault, call: GraphCall, error: GraphError) -> GraphError | None:
        """Another error in place of an error."""

    def send(self, fault: Fault, call: GraphCall) -> Callable[[Answer], None] | None:
        """What to change in the finished response before it is sent."""

    def hides_usage(self, fault: Fault, call: GraphCall) -> bool | None:
        """True to leave the usage headers out."""

    def skips_batch_member(self, fault: Fault, call: GraphCall) -> bool | None:
        """True to answer null for a batch member."""


def objects_of(document: Any) -> Iterator[dict[str, Any]]:
    """The objects or rows in a document: those of ``data``, or the document itself."""
    if not isinstance(document, dict):
        return
    data = document.get("data", document)
    for item in data if isinstance(data, list) else [data]:
        if isinstance(item, dict):
            yield item


def texts(value: Any) -> list[str]:
    """A parameter that is one text or a list of them."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]

"""One page of any list of documents: an account's custom conversions, an ad's leads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from meta_graph_simulator.config import SimulatorConfig
from meta_graph_simulator.graph.call import Answer, GraphCall
from meta_graph_simulator.graph.errors import bad_cursor
from meta_graph_simulator.graph.paging import PageRequest, encode_cursor, paging_links

T = TypeVar("T")


def page_of(
    call: GraphCall,
    config: SimulatorConfig,
    items: Sequence[T],
    identity: Callable[[T], str],
    shown: Callable[[T], dict[str, Any]],
) -> Answer:
    """The page that ``limit``, ``after`` and ``before`` ask for.

    Raises GraphError: 100 for a bad limit, 2642 for a cursor of another list.
    """
    request = PageRequest.from_params(call.params, config.default_limit, config.max_limit)
    places = {identity(item): index for index, item in enumerate(items)}
    keys = (request.after, request.before)
    if any(key is not None and key not in places for key in keys):
        raise bad_cursor()
    start, stop = request.window(*(None if key is None else places[key] for key in keys))
    page = items[start:stop]
    call.rows += len(page)
    answer: dict[str, Any] = {"data": [shown(item) for item in page]}
    if page:
        answer["paging"] = paging_links(
            call.base_url,
            call.versioned_path,
            call.params,
            call.token,
            limit=request.limit,
            first=encode_cursor(identity(page[0])),
            last=encode_cursor(identity(page[-1])),
            has_next=stop < len(items),
            has_previous=start > 0,
        )
    return Answer.json(answer)

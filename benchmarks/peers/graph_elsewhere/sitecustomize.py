"""Sends what a peer asks of Meta to the simulator.

Python imports it where PYTHONPATH has its folder. Peers name their host in code, and all of them
call through requests.
"""

import os
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

_META = "https://graph.facebook.com"
_send = HTTPAdapter.send


def _send_elsewhere(self: HTTPAdapter, request: PreparedRequest, **options: Any) -> Response:
    if request.url is not None and request.url.startswith(_META):
        request.url = os.environ["META_GRAPH_URL"] + request.url.removeprefix(_META)
    return _send(self, request, **options)


HTTPAdapter.send = _send_elsewhere  # type: ignore[method-assign,assignment]

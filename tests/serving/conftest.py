"""The HTTP service on a port of its own, over a database of the test's own."""

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
import uvicorn

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.serving.app import create_app
from meta_ads_pipeline.settings import Settings

APP_SECRET = "app-secret-of-the-test"
VERIFY_TOKEN = "verify-token-of-the-test"

Deliver = Callable[..., requests.Response]


class Service:
    """A client of the service that runs at ``url``."""

    def __init__(self, url: str) -> None:
        self.url, self._session = url, requests.Session()

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._session.get(self.url + path, timeout=10, **options)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self.url + path, timeout=10, **options)

    def post(self, path: str, *, content: bytes, headers: Any = None) -> requests.Response:
        return self._session.post(self.url + path, data=content, headers=headers, timeout=10)


@contextmanager
def running_service(settings: Settings, database: Database) -> Iterator[Service]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings, database), log_level="warning", ws="none")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield Service(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def make_service(database: Database) -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:

        def make(**variables: str) -> Service:
            values = {"META_APP_SECRET": APP_SECRET, "META_APP_VERIFY_TOKEN": VERIFY_TOKEN}
            settings = Settings(**{**values, **variables})  # type: ignore[arg-type]
            return stack.enter_context(running_service(settings, database))

        yield make


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def deliver(service: Service) -> Deliver:
    """Send a payload as Meta does: JSON with escaped unicode, signed over its bytes."""

    def send(payload: Any) -> requests.Response:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return service.post("/webhooks/meta", content=body, headers=signature(body))

    return send


def signature(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}"}


def change(field: str, value: Any, *, account: str = "123", time: int = 1_782_862_117) -> dict:
    return {
        "object": "ad_account",
        "entry": [{"id": account, "time": time, "changes": [{"field": field, "value": value}]}],
    }

"""Dagster by its webserver's GraphQL API: start a run, cancel it. No import of Dagster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import httpx

from meta_ads_pipeline.errors import MetaAdsError

logger = logging.getLogger(__name__)

CODE_LOCATION, _REPOSITORY = "meta_ads_pipeline", "__repository__"
"""As ``workspace.yaml`` names the code location, and Dagster its only repository."""

_LAUNCH_SECONDS = 60.0
"""The code server plans the run first, which takes seconds on a busy machine."""

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}
"""

_CANCEL = """
mutation Cancel($id: String!) {
  terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) {
    __typename
    ... on TerminateRunSuccess { run { status } }
    ... on Error { message }
  }
}
"""


class DagsterAwayError(MetaAdsError):
    """The webserver does not answer; the message says where it was looked for."""


class DagsterRefusedError(MetaAdsError):
    """Dagster answered and did not do it; the message is Dagster's."""


class DagsterClient:
    """Dagster's webserver at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def link(self, run_id: str) -> str:
        """The run's page in Dagster's UI."""
        return f"{self.url}/runs/{run_id}"

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Put a run of ``job`` into the queue; returns its id.

        Raises ``DagsterAwayError`` and ``DagsterRefusedError``.
        """
        answer = self._ask(
            _LAUNCH,
            params={
                "selector": {
                    "repositoryLocationName": CODE_LOCATION,
                    "repositoryName": _REPOSITORY,
                    "jobName": job,
                },
                "runConfigData": {},
                "executionMetadata": {
                    "tags": [{"key": key, "value": value} for key, value in tags.items()]
                },
            },
        )["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise DagsterRefusedError(_said(answer))
        return str(answer["run"]["runId"])

    def cancel(self, run_id: str) -> None:
        """Ask a run to end. Raises ``DagsterAwayError`` and ``DagsterRefusedError``."""
        answer = self._ask(_CANCEL, id=run_id)["terminateRun"]
        if answer["__typename"] != "TerminateRunSuccess":
            raise DagsterRefusedError(_said(answer))

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            response = httpx.post(
                f"{self.url}/graphql",
                json={"query": query, "variables": variables},
                timeout=httpx.Timeout(_LAUNCH_SECONDS, connect=5.0),
            )
            response.raise_for_status()
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            logger.warning("Dagster at %s: %s", self.url, error)
            raise DagsterAwayError(
                f"Dagster does not answer at {self.url}: is `meta-ads up` running? "
                "META_ADS_DAGSTER_URL says where its webserver is"
            ) from error
        if body.get("errors"):
            raise DagsterRefusedError("; ".join(str(each["message"]) for each in body["errors"]))
        data: dict[str, Any] = body["data"]
        return data


def _said(answer: Mapping[str, Any]) -> str:
    errors = "; ".join(each["message"] for each in answer.get("errors") or [])
    return errors or str(answer.get("message") or answer["__typename"])

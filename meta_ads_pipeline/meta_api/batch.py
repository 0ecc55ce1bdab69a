"""Several reads in one HTTP request (Meta's "Batch requests" page).

Saves round trips, not quota: every member counts as a call. Members succeed and fail alone; a
null member was not run and is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from meta_ads_pipeline.meta_api.calls import Call, CallCounter, Caller
from meta_ads_pipeline.meta_api.error_rules import BAD_RESPONSE, NETWORK, Action, ErrorKind
from meta_ads_pipeline.meta_api.errors import MetaApiError, error_from_envelope
from meta_ads_pipeline.meta_api.session import LOCALE, parse_json
from meta_ads_pipeline.meta_api.usage import UseCase, parse_usage

MAX_MEMBERS = 50
ROUNDS = 4


def read_nodes(
    caller: Caller,
    ids: Sequence[str],
    fields: Sequence[str],
    *,
    edge: str,
    account_id: str | None = None,
    use_case: UseCase = UseCase.MANAGEMENT,
    counter: CallCounter | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, MetaApiError]]:
    """Read nodes by id: documents by id, and the classified error of each that failed.

    Members that were not run or failed for a moment are sent again, a few rounds. An error of the
    request as a whole is raised.
    """
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, MetaApiError] = {}
    waiting = list(dict.fromkeys(ids))
    for turn in range(ROUNDS):
        if turn and waiting:
            worst = max((failed[each].retry_after_seconds or 0.0 for each in waiting), default=0.0)
            caller.sleep(max(worst, 2.0**turn))
        again: list[str] = []
        for start in range(0, len(waiting), MAX_MEMBERS):
            members = waiting[start : start + MAX_MEMBERS]
            call = _batch_call(members, fields, edge, account_id, use_case)
            responses = caller.call(call, counter).document
            if not isinstance(responses, list) or len(responses) != len(members):
                raise MetaApiError(
                    BAD_RESPONSE, "a batch response of the wrong length", what="POST batch"
                )
            for node_id, response in zip(members, responses, strict=True):
                outcome = _member(node_id, response, account_id, use_case)
                if isinstance(outcome, MetaApiError):
                    failed[node_id] = outcome
                    if outcome.action in {Action.RETRY, Action.WAIT}:
                        again.append(node_id)
                else:
                    found[node_id] = outcome
                    failed.pop(node_id, None)
        waiting = again
        if not waiting:
            break
    return found, failed


def _batch_call(
    members: Sequence[str],
    fields: Sequence[str],
    edge: str,
    account_id: str | None,
    use_case: UseCase,
) -> Call:
    query = urlencode({"fields": ",".join(fields), "locale": LOCALE})
    batch = [{"method": "GET", "relative_url": f"{node_id}/?{query}"} for node_id in members]

    def limited(document: Any) -> MetaApiError | None:
        """The member that must wait longest, of those that a limit refused."""
        outcomes = [
            _member(node_id, response, account_id, use_case)
            for node_id, response in zip(members, document, strict=False)
        ]
        refused = [
            each
            for each in outcomes
            if isinstance(each, MetaApiError) and each.kind is ErrorKind.RATE_LIMIT
        ]
        return max(refused, key=lambda error: error.retry_after_seconds or 0.0, default=None)

    return Call(
        "POST",
        "",
        {"batch": batch},
        edge,
        account_id,
        use_case,
        calls=len(members),
        hidden_error=lambda document: limited(document) if isinstance(document, list) else None,
    )


def _member(
    node_id: str, response: Any, account_id: str | None, use_case: UseCase
) -> dict[str, Any] | MetaApiError:
    """One member's document or error."""
    what = f"GET {node_id}"
    if not isinstance(response, Mapping):
        return MetaApiError(NETWORK, "the batch ended before this member", what=what)
    status = int(response.get("code") or 0)
    headers = {
        str(each.get("name")): str(each.get("value"))
        for each in response.get("headers") or []
        if isinstance(each, Mapping)
    }
    usage = parse_usage(headers)
    try:
        document = parse_json(str(response.get("body")).encode())
    except ValueError:
        return MetaApiError(
            BAD_RESPONSE, "a batch member that is not JSON", http_status=status, what=what
        )
    if isinstance(document, dict) and document.get("error"):
        error = error_from_envelope(
            document["error"],
            http_status=status,
            what=what,
            account_id=account_id,
            retry_after_seconds=usage.retry_after_seconds(use_case, account_id),
        )
        error.usage = usage
        return error
    if not isinstance(document, dict) or status >= 400:
        return MetaApiError(BAD_RESPONSE, "not an object", http_status=status, what=what)
    return document

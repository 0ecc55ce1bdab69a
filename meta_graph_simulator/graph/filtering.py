"""The ``filtering`` and ``effective_status`` parameters of entity edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from meta_graph_simulator.graph.errors import invalid_parameter
from meta_graph_simulator.graph.fields import parse_json

Lookup = Callable[[str], Any]
OPERATORS = (
    "EQUAL",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
    "IN_RANGE",
    "NOT_IN_RANGE",
    "CONTAIN",
    "NOT_CONTAIN",
    "STARTS_WITH",
    "IN",
    "NOT_IN",
    "ANY",
    "ALL",
    "AFTER",
    "BEFORE",
    "ON_OR_AFTER",
    "ON_OR_BEFORE",
    "NONE",
)
STATUSES = (
    "ACTIVE",
    "PAUSED",
    "DELETED",
    "PENDING_REVIEW",
    "DISAPPROVED",
    "PREAPPROVED",
    "PENDING_BILLING_INFO",
    "CAMPAIGN_PAUSED",
    "ARCHIVED",
    "ADSET_PAUSED",
    "IN_PROCESS",
    "WITH_ISSUES",
)
_SYNONYMS = {"adgroup": "ad", "campaign_group": "campaign", "account": "account"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One member of ``filtering``; ``field`` may carry a prefix (``campaign.updated_time``)."""

    field: str
    operator: str
    value: Any

    @property
    def is_status(self) -> bool:
        """Whether the condition names a status, which lifts the default hiding of archived ones."""
        return self.field.rpartition(".")[2] in {"effective_status", "delivery_info", "status"}


def parse_filtering(text: str | None) -> list[Condition]:
    """Read ``filtering=[{"field":..,"operator":..,"value":..}]``.

    Raises GraphError: code 100 where the shape or an operator is not one of the API's.
    """
    raw = parse_json(text, "filtering")
    if raw is None:
        return []
    if isinstance(raw, Mapping):
        raw = [raw]
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise invalid_parameter("param filtering must be an array.")
    conditions = []
    for index, item in enumerate(raw):
        if isinstance(item, str):  # some clients encode each member once more
            item = parse_json(item, f"filtering[{index}]")  # noqa: PLW2901
        if not isinstance(item, Mapping) or "field" not in item or "operator" not in item:
            raise invalid_parameter(
                f"param filtering[{index}] must have the keys field, operator and value."
            )
        operator = str(item["operator"]).upper()
        if operator not in OPERATORS:
            raise invalid_parameter(
                f"Param filtering[{index}][operator] must be one of {{{', '.join(OPERATORS)}}}"
                f' - got "{item["operator"]}".'
            )
        conditions.append(Condition(str(item["field"]), operator, item.get("value")))
    return conditions


def checked_statuses(statuses: Sequence[str]) -> list[str]:
    """Statuses of an ``effective_status`` parameter; clients send those of ads to every edge."""
    allowed = STATUSES
    for index, status in enumerate(statuses):
        if status not in allowed:
            raise invalid_parameter(
                f"Param effective_status[{index}] must be one of {{{', '.join(allowed)}}}"
                f' - got "{status}".'
            )
    return list(statuses)


def matches(condition: Condition, lookup: Lookup) -> bool:
    """Whether an object fits; ``lookup`` gives a field's value by its whole name, None if unset."""
    actual = lookup(condition.field)
    return compare(actual, condition.operator, condition.value)


def object_lookup(
    kind: str, doc: Mapping[str, Any], parents: Mapping[str, Mapping[str, Any]]
) -> Lookup:
    """Lookup over an object and its parents: ``name``, ``ad.name``, ``campaign.status``."""

    def lookup(name: str) -> Any:
        prefix, _, field = name.rpartition(".")
        owner = _SYNONYMS.get(prefix, prefix) or kind
        source = doc if owner == kind else parents.get(owner)
        if source is None:
            return None
        if field == "delivery_info":
            field = "effective_status"
        return source.get(field)

    return lookup


def compare(actual: Any, operator: str, expected: Any) -> bool:
    """Apply one filtering operator. An unset value fits only the negative operators."""
    if operator.startswith("NOT_"):
        return not compare(actual, operator.removeprefix("NOT_"), expected)
    if operator == "NONE":
        return not compare(actual, "ANY", expected)
    if actual is None:
        return False
    if operator in _ORDERED:
        return _ORDERED[operator](_number(actual), _number(expected))
    if operator == "IN_RANGE":
        low, high = (_number(value) for value in expected)
        return low <= _number(actual) <= high
    texts = [str(value) for value in expected] if isinstance(expected, list) else [str(expected)]
    actuals = [str(value) for value in actual] if isinstance(actual, list) else [str(actual)]
    if operator == "EQUAL":
        return _equal(actual, expected)
    if operator in {"IN", "ANY"}:
        return any(value in texts for value in actuals)
    if operator == "ALL":
        return all(value in actuals for value in texts)
    folded = str(actual).casefold()
    if operator == "STARTS_WITH":
        return any(folded.startswith(text.casefold()) for text in texts)
    return any(text.casefold() in folded for text in texts)  # CONTAIN


def _equal(actual: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(expected) == 1 and _equal(actual, expected[0])
    if str(actual) == str(expected):
        return True
    numbers = [_as_number(value) for value in (actual, expected)]
    return numbers[0] is not None and numbers[0] == numbers[1]


def _as_number(value: Any) -> Decimal | None:
    """Numbers and numeric texts as they are, timestamps as Unix seconds; None for other texts."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        try:
            return Decimal(int(datetime.fromisoformat(str(value)).timestamp()))
        except ValueError:
            return None


def _number(value: Any) -> Decimal:
    number = _as_number(value)
    if number is None:
        raise invalid_parameter(f"param value cannot be compared: {value}")
    return number


_ORDERED: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "GREATER_THAN": lambda a, b: a > b,
    "GREATER_THAN_OR_EQUAL": lambda a, b: a >= b,
    "LESS_THAN": lambda a, b: a < b,
    "LESS_THAN_OR_EQUAL": lambda a, b: a <= b,
    "AFTER": lambda a, b: a > b,
    "BEFORE": lambda a, b: a < b,
    "ON_OR_AFTER": lambda a, b: a >= b,
    "ON_OR_BEFORE": lambda a, b: a <= b,
}

"""The ``fields`` parameter: its grammar, and which fields each node type has.

Grammar: ``name[.modifier(argument)]*[{subfields}]`` separated by commas, or a JSON list of such
texts. ``adsets.limit(5){id,name}`` and ``insights.date_preset(last_7d){spend}`` are the usual
nested forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adcreative import AdCreative
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.business import Business
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.customconversion import CustomConversion
from facebook_business.adobjects.lead import Lead
from facebook_business.adobjects.user import User

from meta_graph_simulator.graph.errors import GraphError, invalid_parameter

NODE_TYPES = {
    "account": "AdAccount",
    "campaign": "Campaign",
    "adset": "AdSet",
    "ad": "Ad",
    "creative": "AdCreative",
    "customconversion": "CustomConversion",
    "lead": "Lead",
    "report_run": "AdReportRun",
    "user": "User",
    "business": "Business",
}
_SDK_CLASSES = {
    "account": AdAccount,
    "campaign": Campaign,
    "adset": AdSet,
    "ad": Ad,
    "creative": AdCreative,
    "customconversion": CustomConversion,
    "lead": Lead,
    "report_run": AdReportRun,
    "user": User,
    "business": Business,
    "insights": AdsInsights,
}
# Returned by the API though absent from the SDK's read fields, or the other way round.
_ADDITIONAL = {
    "ad": frozenset({"creative", "tracking_specs", "effective_status", "adlabels"}),
    "campaign": frozenset({"account"}),
    "adset": frozenset({"account", "end_time"}),
    "account": frozenset({"adspixels", "timezone_name"}),
    "creative": frozenset({"account"}),
    "report_run": frozenset({"error_code", "error_subcode", "error_message"}),
}
# Accepted beyond the SDK's list: flattened parts of structures that clients in use ask for.
_FLATTENED = {
    "account": (
        "agency_client_declaration_",
        "business_manager_",
        "extended_credit_invoice_group_",
        "salesforce_invoice_group_id",
    )
}
# Gone since the version given.
_RETIRED = {
    "creative": {
        "instagram_actor_id": (22, 0),
        "instagram_story_id": (22, 0),
        "effective_instagram_story_id": (22, 0),
        "page_link": (22, 0),
        "page_message": (22, 0),
    },
    "insights": {"marketing_messages_website_purchase_values": (24, 0)},
}
_WRITE_ONLY = {
    "ad": frozenset({"adset_spec", "audience_id", "date_format", "draft_adgroup_id"}),
    "adset": frozenset({"date_format", "execution_options", "line_number", "rb_prediction_id"}),
}


@cache
def catalogue(node: str) -> frozenset[str]:
    """Names of the readable fields of a node type, after the SDK's generated specifications."""
    members = vars(_SDK_CLASSES[node].Field)
    names = {value for key, value in members.items() if not key.startswith("_")}
    names |= _ADDITIONAL.get(node, frozenset())
    return frozenset(names - _WRITE_ONLY.get(node, frozenset()))


def exists(node: str, name: str, version: tuple[int, ...]) -> bool:
    """Whether a node type has a field in an API version (``(26, 0)``)."""
    gone = _RETIRED.get(node, {}).get(name)
    if gone is not None:
        return version < gone
    return name in catalogue(node) or name.startswith(_FLATTENED.get(node, ("\0",)))


def retired(node: str) -> frozenset[str]:
    """Names that only older versions know."""
    return frozenset(_RETIRED.get(node, ()))


def version_number(version: str) -> tuple[int, ...]:
    """``v26.0`` as ``(26, 0)``."""
    return tuple(int(part) for part in version.removeprefix("v").split("."))


@dataclass(slots=True)
class FieldSpec:
    """One requested field with its modifiers (``limit(5)``) and, if expanded, its subfields."""

    name: str
    modifiers: dict[str, str] = field(default_factory=dict)
    children: list[FieldSpec] | None = None


def lenient_json(text: str) -> Any:
    """JSON, also with single quotes or unquoted keys: the Graph API reads ``[{field:'ad.id'}]``.

    Raises ValueError: it is none of these.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        quoted = _TOKENS.sub(_quoted, text)
        return orjson.loads(quoted)


_TOKENS = re.compile(
    r'"(?:[^"\\]|\\.)*"'  # a text in double quotes stays
    r"|'(?P<single>(?:[^'\\]|\\.)*)'"
    r"|(?P<key>[A-Za-z_]\w*)(?=\s*:)"
)


def _quoted(match: re.Match[str]) -> str:
    text = match["single"] if match["single"] is not None else match["key"]
    return match.group() if text is None else orjson.dumps(text.replace("\\'", "'")).decode()


def parse_fields(text: str | None) -> list[FieldSpec]:
    """Read a ``fields`` parameter, comma-joined or a JSON list; an empty one gives an empty list.

    Raises GraphError: code 2500 on unbalanced brackets, as Meta's own syntax error.
    """
    if not text or not text.strip():
        return []
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            items = lenient_json(stripped)
        except ValueError:
            raise invalid_parameter("param fields must be an array.") from None
        if not all(isinstance(item, str) for item in items):
            raise invalid_parameter("param fields must be an array of strings.")
        return [spec for item in items for spec in parse_fields(item)]
    parser = _Parser(stripped)
    specs = parser.field_list()
    if parser.position != len(parser.text):
        raise parser.error()
    return specs


class _Parser:
    """Recursive descent over one fields text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def error(self) -> GraphError:
        return GraphError(
            2500,
            f'Syntax error "Unexpected character at position {self.position}" at character'
            f" {self.position}: {self.text[:200]}",
        )

    def field_list(self) -> list[FieldSpec]:
        specs: list[FieldSpec] = []
        while True:
            name = self._name()
            if name:
                specs.append(self._rest_of(name))
            if not self._take(","):
                return specs

    def _rest_of(self, name: str) -> FieldSpec:
        spec = FieldSpec(name)
        while self._take("."):
            modifier = self._name()
            spec.modifiers[modifier] = self._argument()
        if self._take("{"):
            spec.children = self.field_list()
            if not self._take("}"):
                raise self.error()
        return spec

    def _argument(self) -> str:
        if not self._take("("):
            raise self.error()
        start, depth = self.position, 1
        while self.position < len(self.text):
            character = self.text[self.position]
            depth += (character == "(") - (character == ")")
            self.position += 1
            if depth == 0:
                return self.text[start : self.position - 1]
        raise self.error()

    def _name(self) -> str:
        self._skip_space()
        start = self.position
        while self.position < len(self.text) and (
            self.text[self.position].isalnum() or self.text[self.position] in "_-:"
        ):
            self.position += 1
        name = self.text[start : self.position]
        self._skip_space()
        return name

    def _skip_space(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def _take(self, character: str) -> bool:
        self._skip_space()
        if self.text[self.position : self.position + 1] == character:
            self.position += 1
            self._skip_space()
            return True
        return False


def parse_list(text: str | None, name: str) -> list[str]:
    """Read a list parameter, JSON or comma-separated: ``["ACTIVE"]`` or ``ACTIVE,PAUSED``."""
    if text is None or not text.strip():
        return []
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            values = lenient_json(stripped)
        except ValueError:
            raise invalid_parameter(f"param {name} must be an array.") from None
        return [str(value) for value in values]
    return [part.strip().strip('"') for part in stripped.split(",") if part.strip()]


def parse_json(text: str | None, name: str) -> Any:
    """Read a JSON parameter; None where it is absent or empty."""
    if text is None or not text.strip():
        return None
    try:
        return lenient_json(text)
    except ValueError:
        raise invalid_parameter(f"param {name} must be valid JSON.") from None


def parse_flag(text: str | None) -> bool:
    """``true``, ``1`` and ``yes`` are true; anything else, absence included, is false."""
    return (text or "").strip().strip('"').lower() in {"true", "1", "yes"}


def pick(value: Any, children: list[FieldSpec] | None) -> Any:
    """Keep only the expanded members of a structure (``promoted_object{pixel_id}``)."""
    if not children:
        return value
    if isinstance(value, list):
        return [pick(item, children) for item in value]
    if isinstance(value, dict):
        wanted = {child.name: child.children for child in children}
        return {key: pick(item, wanted[key]) for key, item in value.items() if key in wanted}
    return value

"""One insights request, as the server hands it to ``insights.run``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, TypeAlias

from meta_graph_simulator.accounts.source import Level

TimeIncrement: TypeAlias = int | Literal["monthly", "all_days"]


@dataclass(frozen=True, slots=True)
class InsightsQuery:
    """Parameters of an insights request. Dates are account-local and inclusive.

    ``fields=None`` asks for Meta's default fields. ``filtering`` holds Meta's filter objects
    (``{"field": "ad.id", "operator": "IN", "value": [..]}``). ``object_id`` narrows the request to
    one campaign, ad set or ad (the ``/<id>/insights`` edge). ``offsite_by_hour`` lifts Meta's rule
    that off-Meta actions are absent under the hourly breakdown. With ``hide_removed``, archived and
    deleted objects are left out of their own level's rows unless filtering asks for their status.
    """

    since: date
    until: date
    level: Level = "account"
    fields: tuple[str, ...] | None = None
    time_increment: TimeIncrement = "all_days"
    breakdowns: tuple[str, ...] = ()
    action_breakdowns: tuple[str, ...] = ("action_type",)
    action_attribution_windows: tuple[str, ...] = ()
    filtering: tuple[Mapping[str, Any], ...] = ()
    sort: tuple[str, ...] = ()
    object_id: str | None = None
    offsite_by_hour: bool = False
    hide_removed: bool = True

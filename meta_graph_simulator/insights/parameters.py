"""The parameters of an insights call, read and checked as Meta reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, cast, get_args

from meta_graph_simulator.accounts.node_store import Node
from meta_graph_simulator.accounts.source import Level, ParameterError
from meta_graph_simulator.graph.errors import GraphError, invalid_parameter
from meta_graph_simulator.graph.fields import (
    exists,
    parse_fields,
    parse_flag,
    parse_json,
    parse_list,
    retired,
    version_number,
)
from meta_graph_simulator.graph.filtering import parse_filtering
from meta_graph_simulator.insights.query import InsightsQuery, TimeIncrement
from meta_graph_simulator.insights.validation import months_before

LEVELS: tuple[str, ...] = get_args(Level)
HOURLY = "hourly_stats_aggregated_by_advertiser_time_zone"
_RETENTION_MONTHS = 37
_RETIRED = retired("insights")


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """One insights call: a query per time range, and whether totals are asked for."""

    node: Node
    queries: tuple[InsightsQuery, ...]
    with_summary: bool = False

    @property
    def since(self) -> date:
        """First local date of all ranges."""
        return min(query.since for query in self.queries)

    @property
    def until(self) -> date:
        """Last local date of all ranges."""
        return max(query.until for query in self.queries)

    @property
    def level(self) -> str:
        """The level of the rows."""
        return self.queries[0].level


def read_report_request(
    node: Node,
    params: Mapping[str, str],
    *,
    today: date,
    version: str = "v26.0",
    offsite_by_hour: bool = False,
) -> ReportRequest:
    """Read the parameters of ``/<node>/insights``.

    ``today`` is the account-local date of the simulated present; ``offsite_by_hour`` lifts Meta's
    rule that hours carry no off-Meta actions.

    Raises GraphError: code 100 for what Meta refuses.
    """
    level = (params.get("level") or node.kind).strip('"').lower()
    if level not in LEVELS:
        raise invalid_parameter(
            f'Param level must be one of {{ad, adset, campaign, account}} - got "{level}".'
        )
    names = tuple(
        spec.name
        for spec in parse_fields(params.get("fields"))
        # Where an old version still knows a field there is nothing to report under it.
        if spec.name not in _RETIRED or not exists("insights", spec.name, version_number(version))
    )
    filtering: tuple[Mapping[str, Any], ...] = tuple(
        {"field": item.field, "operator": item.operator, "value": item.value}
        for item in parse_filtering(params.get("filtering"))
    )
    query = InsightsQuery(
        since=today,
        until=today,
        level=cast("Level", level),
        fields=names or None,
        time_increment=_time_increment(params.get("time_increment")),
        breakdowns=tuple(parse_list(params.get("breakdowns"), "breakdowns")),
        action_breakdowns=tuple(
            parse_list(params.get("action_breakdowns"), "action_breakdowns") or ["action_type"]
        ),
        action_attribution_windows=tuple(
            parse_list(params.get("action_attribution_windows"), "action_attribution_windows")
        ),
        filtering=filtering,
        sort=tuple(parse_list(params.get("sort"), "sort")),
        object_id=None if node.kind == "account" else node.id,
        offsite_by_hour=offsite_by_hour,
    )
    ranges = _time_ranges(params, today)
    queries = tuple(replace(query, since=since, until=until) for since, until in ranges)
    summary = params.get("summary")
    with_summary = parse_flag(params.get("default_summary")) or bool(
        summary and summary not in {"false", "0", "[]"}
    )
    return ReportRequest(node, queries, with_summary)


def as_graph_error(error: ParameterError) -> GraphError:
    """The wire form of a refusal by the insights engine."""
    return invalid_parameter(
        error.message, subcode=error.subcode, blame=error.blame_fields, code=error.code
    )


def _time_increment(text: str | None) -> TimeIncrement:
    value = (text or "all_days").strip('"')
    if value == "monthly" or value == "all_days":  # noqa: PLR1714 - narrows the literal type
        return cast("TimeIncrement", value)
    if value.isdigit() and 1 <= int(value) <= 90:
        return int(value)
    raise invalid_parameter(
        "param time_increment must be all_days, monthly or an integer between 1 and 90."
    )


def _time_ranges(params: Mapping[str, str], today: date) -> list[tuple[date, date]]:
    many = parse_json(params.get("time_ranges"), "time_ranges")
    if many is not None:
        if not isinstance(many, list) or not many:
            raise invalid_parameter("param time_ranges must be non-empty.")
        return [_time_range(item, "time_ranges") for item in many]
    one = parse_json(params.get("time_range"), "time_range")
    if one is not None:
        return [_time_range(one, "time_range")]
    since, until = params.get("since"), params.get("until")
    if since and until:
        return [_time_range({"since": since, "until": until}, "time_range")]
    preset = (params.get("date_preset") or "last_30d").strip('"').lower()
    return [preset_range(preset, today)]


def _time_range(raw: Any, name: str) -> tuple[date, date]:
    if isinstance(raw, str):  # a JSON text inside JSON, as some clients send it
        raw = parse_json(raw, name)
    if not isinstance(raw, Mapping) or not raw:
        raise invalid_parameter(f"param {name} must be non-empty.")
    bounds = []
    for key in ("since", "until"):
        if key not in raw:
            raise invalid_parameter(f"Must specify both since and until in {name}.")
        try:
            bounds.append(date.fromisoformat(str(raw[key])))
        except ValueError:
            raise invalid_parameter(
                f"param {name}[{key}] must be a valid date in the form YYYY-MM-DD.",
            ) from None
    since, until = bounds
    if since > until:
        raise invalid_parameter(
            f"param {name}: the start date must not be after the end date.", blame=[name]
        )
    return since, until


def preset_range(preset: str, today: date) -> tuple[date, date]:
    """First and last date of a ``date_preset``; the ``last_Nd`` ones end yesterday.

    Raises GraphError: code 100 for an unknown preset.
    """
    yesterday = today - timedelta(days=1)
    month, year = today.replace(day=1), today.replace(month=1, day=1)
    quarter = today.replace(month=3 * ((today.month - 1) // 3) + 1, day=1)
    monday = today - timedelta(days=today.weekday())
    sunday = today - timedelta(days=(today.weekday() + 1) % 7)
    week, day = timedelta(days=7), timedelta(days=1)
    last_quarter_end = quarter - day
    last_quarter = last_quarter_end.replace(month=last_quarter_end.month - 2, day=1)
    ranges: dict[str, tuple[date, date]] = {
        "today": (today, today),
        "yesterday": (yesterday, yesterday),
        "this_week_mon_today": (monday, today),
        "this_week_sun_today": (sunday, today),
        "last_week_mon_sun": (monday - week, monday - day),
        "last_week_sun_sat": (sunday - week, sunday - day),
        "this_month": (month, today),
        "last_month": ((month - day).replace(day=1), month - day),
        "this_quarter": (quarter, today),
        "last_quarter": (last_quarter, last_quarter_end),
        "this_year": (year, today),
        "last_year": (year.replace(year=year.year - 1), year - day),
        "maximum": (months_before(today, _RETENTION_MONTHS), today),
        "data_maximum": (months_before(today, _RETENTION_MONTHS), today),
    }
    for days in (3, 7, 14, 28, 30, 90):
        ranges[f"last_{days}d"] = (today - timedelta(days=days), yesterday)
    if preset not in ranges:
        raise invalid_parameter(
            f'Param date_preset must be one of {{{", ".join(ranges)}}} - got "{preset}".'
        )
    return ranges[preset]

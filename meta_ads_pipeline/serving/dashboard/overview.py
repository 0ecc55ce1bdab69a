"""The first page: today by the hour, the period, what is settled, budgets, hours, trust."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from meta_ads_pipeline.control.database import Database
from meta_ads_pipeline.control.row_security import rows_in_workspace
from meta_ads_pipeline.semantic import trust
from meta_ads_pipeline.semantic.answer import Answer
from meta_ads_pipeline.semantic.layer import semantic_layer
from meta_ads_pipeline.semantic.query import ACCOUNT_TIMEZONE, Breakdown
from meta_ads_pipeline.serving.dashboard import charts
from meta_ads_pipeline.serving.dashboard.questions import Scope, scope
from meta_ads_pipeline.serving.dashboard.visits import Visit
from meta_ads_pipeline.serving.dashboard.wording import label
from meta_ads_pipeline.sql_files import SqlFolder

sql = SqlFolder(__file__)

_TILES = ("spend", "impressions", "clicks", "ctr", "conversions", "cpa", "revenue", "roas")
_USUAL_WEEKS = 8
_MOST_HEAT_DAYS = 31
_MOST_BADGE_DAYS = 31
_WORST_FIRST = ("mismatch", "incomplete", "withheld", "within_tolerance", "reconciled")
_ALL_ROWS = 100_000
_MOST_BUDGETS = 12


def overview(database: Database, visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    about = scope(database, visit)
    if about is None:
        return {"scope": None}
    layer = semantic_layer()
    chosen = {each.account_id for each in about.chosen}
    fresh = [
        row for row in trust.freshness(database, about.workspace_id) if row["account_id"] in chosen
    ]
    tiles = about.ask(measures=_TILES, compare="previous_period")
    today = _today(about, fresh)
    has_previous = _has_previous(about, tiles)
    return {
        "scope": about,
        "measures": [*layer.sums, *layer.ratios],
        "breakdowns": [each for each in Breakdown if each not in (
            Breakdown.HOUR_OF_DAY, Breakdown.WEEKDAY)],
        "tiles": _tiles(tiles),
        "has_previous": has_previous,
        "answer": tiles,
        "fresh": fresh,
        "updated_at": max(
            (row["last_pulled_at"] for row in fresh if row["last_pulled_at"]), default=None
        ),
        "today": today,
        "trend": _trend(about, has_previous),
        "settled": _settled(about),
        "pacing": _pacing(about, min(about.end, today["day"]), fresh),
        "heat": _heat(about),
        "badges": _badges(about),
    }  # fmt: skip


def _tiles(answer: Answer) -> list[dict[str, Any]]:
    row = answer.rows[0] if answer.rows else {}
    return [
        {
            "measure": name,
            "value": row.get(name),
            "previous": row.get(f"previous_{name}"),
            "change": row.get(f"change_{name}"),
            "why": answer.unavailable.get(name),
        }
        for name in _TILES
    ]


def _has_previous(about: Scope, answer: Answer) -> bool:
    """Whether the period before was pulled as much as this one: else a change says nothing."""
    length = about.end - about.start
    before = about.start - timedelta(days=1)
    pulled = about.days_of_trust(before - length, before, "spend")
    return len(pulled) >= answer.trust.account_days > 0


# Today, beside the same weekday before.


def _by_clock(measure: str) -> str:
    """The measure, where it is known by the hour; else spend."""
    layer = semantic_layer()
    known = all(layer.sums[part].known_by == "hour" for part in layer.parts(measure))
    return measure if known else "spend"


def _today(about: Scope, fresh: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The newest date with hours, normally today; its usual range; hours that are overdue."""
    measure = _by_clock(about.view.measure)
    recent = _hours(about, measure, about.today - timedelta(days=7), about.today)
    shown = max(recent, default=about.today)
    same_days = [shown - timedelta(weeks=weeks) for weeks in range(1, _USUAL_WEEKS + 1)]
    history = _hours(about, measure, same_days[-1], same_days[0])
    usual = [history[each] for each in same_days if each in history]
    values = recent.get(shown, {})
    hours = list(range(24))
    ranges = [
        _range([each[hour] for each in usual if each.get(hour) is not None]) for hour in hours
    ]
    late = delayed_hours(about, fresh, shown)
    running = _unfinished_hours(about, fresh, shown)
    rows = [
        {
            "hour": hour,
            "value": values.get(hour),
            "low": ranges[hour][0],
            "high": ranges[hour][1],
            "is_late": hour in late,
            "is_running": hour in running,
        }
        for hour in hours
    ]
    traces = []
    if len(usual) == 1:
        traces.append(
            charts.line(
                f"the {shown:%A} before", hours, [row["low"] for row in rows],
                charts.QUIET, line={"dash": "dot", "width": 1.5},
            )
        )  # fmt: skip
    elif usual:
        traces += charts.band(
            f"usual on a {shown:%A}", hours, [r["low"] for r in rows], [r["high"] for r in rows]
        )
    traces.append(
        charts.line(
            f"{shown:%a %d %b}",
            hours,
            [None if row["hour"] in running else row["value"] for row in rows],
        )
    )
    if any(values.get(hour) is not None for hour in running):
        so_far = [hour for hour in hours if hour in running and values.get(hour) is not None]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "so far", "x": so_far,
                "y": [values[hour] for hour in so_far],
                "marker": {"symbol": "circle-open", "size": 9, "color": charts.ACCENT,
                           "line": {"width": 2}},
            }
        )  # fmt: skip
    shapes = [
        {
            "type": "rect", "xref": "x", "yref": "paper", "x0": hour - 0.5, "x1": hour + 0.5,
            "y0": 0, "y1": 1, "fillcolor": charts.LATE, "line": {"width": 0}, "layer": "below",
        }
        for hour in sorted(late)
    ]  # fmt: skip
    return {
        "measure": measure,
        "day": shown,
        "is_today": shown == about.today,
        "has_values": bool(values),
        "weeks": len(usual),
        "rows": rows,
        "late": sorted(late),
        "late_accounts": [row for row in fresh if row["is_late"]],
        "figure": charts.figure(
            traces, shapes=shapes, xaxis={"dtick": 2, "range": [-0.6, 23.6], "ticksuffix": ":00"}
        ),
    }


def _hours(
    about: Scope, measure: str, start: date, end: date
) -> dict[date, dict[int, Decimal | int | None]]:
    """Values by date and hour; an hour that autumn has twice is the sum of a measure's both."""
    answer = about.ask(measures=(measure,), breakdown="hour", start=start, end=end, limit=_ALL_ROWS)
    found: dict[date, dict[int, Any]] = defaultdict(dict)
    for row in answer.rows:
        at: datetime = row["time"]
        found[at.date()][at.hour] = row[measure]
    return dict(found)


def _range(values: Sequence[Any]) -> tuple[Any, Any]:
    """Lowest and highest; with six and more without the lowest and the highest one."""
    ordered = sorted(values)
    if len(ordered) >= 6:
        ordered = ordered[1:-1]
    return (ordered[0], ordered[-1]) if ordered else (None, None)


def delayed_hours(about: Scope, fresh: Iterable[dict[str, Any]], shown: date) -> set[int]:
    """Hours of the date that are over and should be there by now, and are not."""
    late: set[int] = set()
    for row in fresh:
        if not row["is_late"]:
            continue
        now = about.local(about.now, row["timezone"])
        begin = datetime.combine(shown, datetime.min.time())
        if row["last_hour_at"] is not None:
            begin = max(
                begin, about.local(row["last_hour_at"], row["timezone"]) + timedelta(hours=1)
            )
        while begin.date() == shown and begin + timedelta(hours=1) <= now:
            late.add(begin.hour)
            begin += timedelta(hours=1)
    return late


def _unfinished_hours(about: Scope, fresh: Iterable[dict[str, Any]], shown: date) -> set[int]:
    """Hours of the date that were not over when one of the accounts was last pulled."""
    pulled = [
        about.local(row["last_pulled_at"], row["timezone"])
        for row in fresh
        if row["last_pulled_at"] is not None
    ]
    begin = datetime.combine(shown, datetime.min.time())
    return {
        hour for hour in range(24) if pulled and begin + timedelta(hours=hour + 1) > min(pulled)
    }


# The period.


def _trend(about: Scope, has_previous: bool) -> dict[str, Any]:
    view = about.view
    compares = has_previous and view.breakdown is not Breakdown.MINUTE
    answer = about.ask(
        measures=(view.measure,),
        breakdown=view.breakdown,
        compare="previous_period" if compares else None,
        limit=_ALL_ROWS,
    )
    times = [row["time"] for row in answer.rows]
    traces = [charts.line(label(view.measure), times, [r[view.measure] for r in answer.rows])]
    previous = f"previous_{view.measure}"
    if compares:
        traces.insert(0, charts.line(
            "the period before", times, [row[previous] for row in answer.rows],
            charts.QUIET, line={"dash": "dot", "width": 1.5},
        ))  # fmt: skip
    return {
        "answer": answer,
        "measure": view.measure,
        "previous": previous,
        "why": answer.unavailable.get(view.measure),
        "figure": charts.figure(traces),
    }


# Settled days, and those that Meta may still change.


def _settled(about: Scope) -> dict[str, Any]:
    """Conversions and ROAS by day, on each account's own dates: Meta settles those."""
    answer = about.ask(
        measures=("conversions", "revenue", "spend"),
        breakdown="day",
        group_by=("account",),
        timezone=ACCOUNT_TIMEZONE,
        limit=_ALL_ROWS,
    )
    is_settled = {
        (row["account_id"], row["event_date"]): row["is_settled"]
        for row in about.days_of_trust(about.start, about.end, "spend")
    }
    days: dict[date, dict[str, Any]] = {}
    for row in answer.rows:
        day = days.setdefault(row["time"], {"day": row["time"], "is_settled": True})
        day["is_settled"] &= bool(is_settled.get((row["account"], row["time"]), True))
        _add(day, row)
    ordered = [days[each] for each in sorted(days)]
    groups: dict[bool, dict[str, Any]] = {True: {"days": 0}, False: {"days": 0}}
    for day in ordered:
        group = groups[day["is_settled"]]
        group["days"] += 1
        _add(group, day)
    for each in (*ordered, *groups.values()):
        each["roas"] = (
            each["revenue"] / each["spend"]
            if each.get("revenue") is not None and each.get("spend")
            else None
        )
    x = [day["day"] for day in ordered]
    return {
        "rows": ordered,
        "settled": groups[True],
        "open": groups[False],
        "figure": charts.figure(
            [
                charts.bars(
                    "conversions, settled", x,
                    [d.get("conversions") if d["is_settled"] else None for d in ordered],
                ),
                charts.bars(
                    "conversions, still open", x,
                    [None if d["is_settled"] else d.get("conversions") for d in ordered],
                    marker={"color": charts.OPEN, "pattern": {"shape": "/", "fillmode": "overlay",
                                                              "fgcolor": "--panel", "size": 6}},
                ),
                charts.line("ROAS", x, [d["roas"] for d in ordered], charts.SECOND, yaxis="y2"),
            ],
            yaxis2={"overlaying": "y", "side": "right", "showgrid": False, "rangemode": "tozero",
                    "fixedrange": True, "tickformat": ".1f", "nticks": 5},
            margin={"l": 56, "r": 44, "t": 8, "b": 32},
        ),
    }  # fmt: skip


def _add(to: dict[str, Any], row: dict[str, Any]) -> None:
    """Sums that the query layer has made are added up further; missing is not 0."""
    for name in ("conversions", "revenue", "spend"):
        value = row.get(name)
        if value is not None:
            to[name] = to.get(name, 0) + value


# Budgets.


def _pacing(about: Scope, day: date, fresh: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Spend of a date against the daily budgets that stand now, the fullest first.

    ``lifetime``: spend up to the end of that date against lifetime budgets, and how much of their
    time had passed; ``is_whole``: the history begins before the budget does.
    """
    accounts = [each.account_id for each in about.chosen]
    budgets = rows_in_workspace(
        about.database, about.workspace_id, sql("budgets"), accounts=accounts
    )
    lifetime = [
        row
        for level in ("campaign", "adset")
        for row in rows_in_workspace(
            about.database,
            about.workspace_id,
            sql("lifetime_budgets", level=level),
            accounts=accounts,
            day=day,
        )
    ]
    first_dates = {row["account_id"]: row["first_date"] for row in fresh}
    for row in lifetime:
        first = first_dates.get(row["account_id"])
        begun = row["starts_at"]
        row["is_whole"] = begun is None or (first is not None and first <= begun.date())
    lifetime.sort(key=lambda row: (-(row["share"] or 0), row["name"] or ""))
    rows = []
    for level in ("campaign", "adset"):
        of_level = [row for row in budgets if row["level"] == level]
        if not of_level:
            continue
        answer = about.ask(
            measures=("spend",),
            group_by=(level,),
            start=day,
            end=day,
            extra={level: tuple(row["external_entity_id"] for row in of_level)},
            limit=_ALL_ROWS,
        )
        spent = {row[level]: row["spend"] for row in answer.rows}
        for row in of_level:
            spend = spent.get(row["external_entity_id"])
            budget = row["daily_budget"]
            share = float(spend / budget) if spend is not None and budget else None
            rows.append({**row, "spend": spend, "share": share})
    rows.sort(key=lambda row: (-(row["share"] or 0), row["name"] or ""))
    return {
        "day": day,
        "rows": rows[:_MOST_BUDGETS],
        "more": max(0, len(rows) - _MOST_BUDGETS),
        "lifetime": lifetime[:_MOST_BUDGETS],
        "more_lifetime": max(0, len(lifetime) - _MOST_BUDGETS),
        "spend": sum((row["spend"] or 0 for row in rows), Decimal(0)),
        "budget": sum((row["daily_budget"] or 0 for row in rows), Decimal(0)),
    }


# When in the day.


def _heat(about: Scope) -> dict[str, Any]:
    measure = _by_clock(about.view.measure)
    start = max(about.start, about.end - timedelta(days=_MOST_HEAT_DAYS - 1))
    found = _hours(about, measure, start, about.end)
    days = sorted(found)
    return {
        "measure": measure,
        "days": days,
        "hours": found,
        "figure": charts.heat_map(
            list(range(24)),
            [f"{day:%a} {day.day} {day:%b}" for day in days],
            [[found[day].get(hour) for hour in range(24)] for day in days],
            label(measure),
        ),
    }


# Whether to believe it.


def _badges(about: Scope) -> dict[str, Any]:
    """The worst state of each account-day's measures."""
    start = max(about.start, about.end - timedelta(days=_MOST_BADGE_DAYS - 1))
    days = [start + timedelta(days=n) for n in range((about.end - start).days + 1)]
    worst: dict[tuple[str, date], dict[str, Any]] = {}
    for row in about.days_of_trust(start, about.end):
        key = (row["account_id"], row["event_date"])
        known = worst.get(key)
        if known is None or _WORST_FIRST.index(row["status"]) < _WORST_FIRST.index(known["status"]):
            worst[key] = row
    return {"days": days, "accounts": about.chosen, "of": worst}

"""From a question to one SQL statement over the facts, or over a rollup where one suffices.

Every number is a sum of facts, or a ratio of such sums; nothing is averaged. As in the display
marts, what is known by the hour belongs to the date and hour in which it starts in the reader's
timezone, and what is known by the day only stays on the account's own date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

from psycopg import sql

from meta_ads_pipeline.semantic.layer import Ratio, SemanticLayer, Sum
from meta_ads_pipeline.semantic.query import ACCOUNT_TIMEZONE, Breakdown, MetricQuery

_TIME: dict[Breakdown | None, LiteralString] = {
    None: "null::text",
    Breakdown.DAY: "{date}",
    Breakdown.WEEK: "date_trunc('week', {date}::timestamp)::date",
    Breakdown.MONTH: "date_trunc('month', {date}::timestamp)::date",
    Breakdown.WEEKDAY: "extract(isodow from {unshifted_date})::smallint",
    Breakdown.HOUR_OF_DAY: "extract(hour from {local})::smallint",
}
"""A row's ``time``. In a timezone of the reader's hours and minutes are instants: autumn has one
hour twice."""


@dataclass(frozen=True)
class Statement:
    """SQL with its parameters, and what it reads."""

    query: sql.Composed
    parameters: dict[str, Any]
    marts: tuple[str, ...]


def unavailable_measures(query: MetricQuery, layer: SemanticLayer) -> dict[str, str]:
    """Measures that cannot be told as they are asked for, with the reason."""
    found = {}
    for measure in dict.fromkeys(query.measures):
        kind = layer.measures[measure]
        parts = [layer.sums[part] for part in layer.parts(measure)]
        if not isinstance(kind, Sum | Ratio):
            found[measure] = (
                f"people are in several rows, so {measure} does not add up: read marts.{kind.mart} "
                "for the level and period that Meta counted"
            )
        elif query.breakdown is Breakdown.MINUTE and any(each.known_by == "day" for each in parts):
            found[measure] = "known by the day only"
        elif (
            query.breakdown is not None
            and query.breakdown.is_by_clock
            and any(each.known_by == "day" for each in parts)
        ):
            found[measure] = (
                "Meta tells what happens off its own surfaces by the day only, not by the hour; "
                "marts.metric_facts_allocated has an estimate"
            )
    return found


def metric_statement(
    query: MetricQuery, layer: SemanticLayer, workspace_id: str, *, raw: bool = False
) -> Statement:
    """The statement that answers ``query``; with ``raw`` always from ``metric_facts`` itself."""
    return _Builder(query, layer, workspace_id, raw=raw).statement()


def account_statement(query: MetricQuery, layer: SemanticLayer, workspace_id: str) -> Statement:
    """The ad accounts whose facts ``query`` adds up.

    In a timezone of the reader's by the accounts' own dates, from the day before to the day after:
    every fact of the answer is of one of these, and the days' sums suffice to find out.
    """
    if query.timezone != ACCOUNT_TIMEZONE:
        day = timedelta(days=1)
        dates = {"start": query.start - day, "end": query.end + day}
        query = query.model_copy(update={**dates, "timezone": ACCOUNT_TIMEZONE})
    return _Builder(query, layer, workspace_id, raw=False).accounts()


class _Builder:
    def __init__(
        self, query: MetricQuery, layer: SemanticLayer, workspace_id: str, *, raw: bool
    ) -> None:
        self._query, self._layer = query, layer
        self._missing = unavailable_measures(query, layer)
        self._measures = [m for m in dict.fromkeys(query.measures) if m not in self._missing]
        self._sums = list(
            dict.fromkeys(p for m in [*self._measures, *self._ranking()] for p in layer.parts(m))
        ) or ["spend"]
        self._own_timezone = query.timezone == ACCOUNT_TIMEZONE
        self._breakdown = query.breakdown
        self._by_clock = self._breakdown is not None and self._breakdown.is_by_clock
        self._dimensions = list(dict.fromkeys((*query.groups, *query.filters)))
        self._rollup = None if raw else self._smallest_rollup()
        self._parameters: dict[str, Any] = {"timezone": query.timezone, "workspace": workspace_id}

    def _ranking(self) -> list[str]:
        ranked = self._query.ranked_by
        return [ranked] if self._query.top is not None and ranked not in self._missing else []

    def _smallest_rollup(self) -> str | None:
        if self._breakdown is Breakdown.MINUTE:
            return None
        grain = "hour" if self._by_clock or not self._own_timezone else "day"
        needed = {self._layer.path(name)[0] for name in self._dimensions}
        fitting = (
            each.mart
            for each in self._layer.rollups
            if each.grain == grain and needed <= set(each.of)
        )
        return next(fitting, None)

    def statement(self) -> Statement:
        query = self._query
        windows = [(query.start, query.end, sql.SQL("false"))]
        if query.previous_dates is not None:
            windows.append((*query.previous_dates, sql.SQL("true")))
        base = sql.SQL("\n    union all\n").join(
            self._window(number, *window) for number, window in enumerate(windows)
        )
        self._parameters |= {"top": query.top, "limit": query.limit, "offset": query.offset}
        composed = sql.SQL(
            "with base as (\n{base}\n), totals as (\n{totals}\n), placed as (\n{placed}\n),"
            " folded as (\n{folded}\n), measured as (\n{measured}\n)\n{final}"
        ).format(
            base=base,
            totals=self._totals(),
            placed=self._placed(),
            folded=self._folded(),
            measured=self._measured(),
            final=self._final(),
        )
        return Statement(composed, self._parameters, tuple(self._marts()))

    def accounts(self) -> Statement:
        query = self._query
        source, conditions = self._source_and_conditions(0, query.start, query.end)
        composed = sql.SQL(
            "select distinct f.account_id, f.provider from {source} where {conditions}"
        ).format(source=source, conditions=conditions)
        return Statement(composed, self._parameters, tuple(self._marts()))

    def _marts(self) -> Iterator[str]:
        yield f"marts.{self._rollup}" if self._rollup else "marts.metric_facts"

    # The rows of one window, grouped.

    def _window(self, number: int, start: Any, end: Any, is_previous: sql.SQL) -> sql.Composed:
        source, conditions = self._source_and_conditions(number, start, end)
        keys = [self._time(number), *(self._dimension(name) for name in self._query.groups)]
        names = ["time", *self._query.groups]
        return sql.SQL(
            "    select {keys}, {is_previous} as is_previous, {sums},"
            " {matches} as is_one_calendar\n"
            "    from {source}\n    where {conditions}\n    group by {numbers}"
        ).format(
            keys=sql.SQL(", ").join(
                sql.SQL("{} as {}").format(key, sql.Identifier(name))
                for key, name in zip(keys, names, strict=True)
            ),
            is_previous=is_previous,
            sums=sql.SQL(", ").join(
                sql.SQL("sum(f.{0}) as {0}").format(sql.Identifier(name)) for name in self._sums
            ),
            matches=self._is_one_calendar(),
            source=source,
            conditions=conditions,
            numbers=sql.SQL(", ").join(sql.SQL(str(n + 1)) for n in range(len(keys))),
        )

    def _source_and_conditions(self, number: int, start: Any, end: Any) -> tuple[Any, Any]:
        self._parameters |= {f"start_{number}": start, f"end_{number}": end}
        joined = sql.SQL("({}) as f").format(self._rows(number))
        for name in self._joined_tables():
            dimension = self._layer.dimensions[name]
            assert dimension.table is not None
            assert dimension.key is not None
            joined = sql.SQL("{} left join marts.{} as {} on {}.{} = {}").format(
                joined,
                sql.Identifier(dimension.table),
                sql.Identifier(f"of_{name}"),
                sql.Identifier(f"of_{name}"),
                sql.Identifier(dimension.key),
                self._dimension(name),
            )
        conditions = [
            sql.SQL("{} between {} and {}").format(self._date(None), *self._bounds(number))
        ]
        for name, values in self._query.filters.items():
            self._parameters[f"filter_{name}"] = [value for value in values if value]
            condition = sql.SQL("{} = any({}::text[])").format(
                self._dimension(name), sql.Placeholder(f"filter_{name}")
            )
            if "" in values:
                condition = sql.SQL("({} or {} is null)").format(condition, self._dimension(name))
            conditions.append(condition)
        return joined, sql.SQL(" and ").join(conditions)

    def _rows(self, number: int) -> sql.Composed:
        """Facts, or a rollup with those facts that it leaves out."""
        if self._rollup is None:
            return self._piece("metric_facts", number, self._grains())
        pieces = [self._piece(self._rollup, number, None)]
        missing = []
        entity = self._rollup.split("_")[0]
        if entity != "account":
            missing.append(f"{entity}_id is null")
        if self._rollup.endswith("_hourly") and not self._by_clock:
            missing.append("event_hour is null")
        elif self._rollup.endswith("_hourly"):
            missing = [f"({each} and event_hour is not null)" for each in missing]
        if missing:
            pieces.append(self._piece("metric_facts", number, " or ".join(missing)))
        return sql.SQL(" union all ").join(pieces)

    def _grains(self) -> str | None:
        if self._breakdown is Breakdown.MINUTE:
            return "grain = 'minute'"
        return "event_hour is not null" if self._by_clock else None

    def _piece(self, mart: str, number: int, condition: str | None) -> sql.Composed:
        columns = sorted({self._layer.dimensions[n].column for n in self._facts_dimensions()})
        has = self._columns_of(mart)
        selected = [
            sql.Identifier(name)
            if name in has
            else sql.SQL("null::text as {}").format(sql.Identifier(name))
            for name in dict.fromkeys([*columns, "account_id", "provider"])
        ]
        is_day = "false" if mart.endswith("_hourly") else "event_hour is null"
        if mart.endswith("_daily"):
            is_day = "true"
        # Daily rollups are read in each account's own timezone, where only the date counts.
        event_at = "null::timestamptz as event_at" if mart.endswith("_daily") else "event_at"
        slack = 0 if self._own_timezone else 2
        return sql.SQL(
            "select {selected}, {sums}, event_date, {event_at}, timezone, {is_day} as is_day"
            " from marts.{mart} where workspace_id = {workspace}"
            " and event_date between {first} - {slack} and {last} + {slack}{condition}"
        ).format(
            selected=sql.SQL(", ").join(selected),
            sums=sql.SQL(", ").join(map(sql.Identifier, self._sums)),
            event_at=sql.SQL(event_at),
            is_day=sql.SQL(is_day),
            mart=sql.Identifier(mart),
            workspace=sql.Placeholder("workspace"),
            first=self._bounds(number)[0],
            last=self._bounds(number)[1],
            slack=sql.Literal(slack),
            condition=sql.SQL(f" and ({condition})" if condition else ""),
        )

    def _columns_of(self, mart: str) -> set[str]:
        for rollup in self._layer.rollups:
            if rollup.mart == mart:
                return {self._layer.dimensions[name].column for name in rollup.of}
        return {each.column for each in self._layer.dimensions.values() if each.through is None}

    def _facts_dimensions(self) -> list[str]:
        return list(dict.fromkeys(self._layer.path(name)[0] for name in self._dimensions))

    def _joined_tables(self) -> list[str]:
        """The dimensions whose tables lead to what is asked for, in the order they are joined."""
        return list(
            dict.fromkeys(step for name in self._dimensions for step in self._layer.path(name)[:-1])
        )

    @staticmethod
    def _bounds(number: int) -> tuple[sql.Composed, sql.Composed]:
        return (
            sql.SQL("{}::date").format(sql.Placeholder(f"start_{number}")),
            sql.SQL("{}::date").format(sql.Placeholder(f"end_{number}")),
        )

    # Expressions of one row, f.

    def _dimension(self, name: str) -> sql.Composed:
        dimension = self._layer.dimensions[name]
        table = "f" if dimension.through is None else f"of_{dimension.through}"
        return sql.SQL("{}.{}").format(sql.Identifier(table), sql.Identifier(dimension.column))

    def _zone(self) -> sql.Composable:
        return sql.SQL("f.timezone") if self._own_timezone else sql.Placeholder("timezone")

    def _local(self) -> sql.Composed:
        return sql.SQL("(f.event_at at time zone {})").format(self._zone())

    def _date(self, shift: sql.Composable | None) -> sql.Composed:
        if self._own_timezone:
            day: sql.Composable = sql.SQL("f.event_date")
        else:
            day = sql.SQL("(case when f.is_day then f.event_date else {}::date end)").format(
                self._local()
            )
        if shift is None:
            return sql.Composed([day])
        return sql.SQL("({} + {})::date").format(day, shift)

    def _shift(self, number: int) -> sql.Composable | None:
        """What brings a date of the comparison to its date in the period that was asked for."""
        if number == 0:
            return None
        days = self._query.shift_days
        return sql.SQL("interval '1 year'" if days is None else f"interval '{days} days'")

    def _time(self, number: int) -> sql.Composed:
        shift = self._shift(number)
        if self._breakdown in (Breakdown.HOUR, Breakdown.MINUTE):
            local: sql.Composable = self._local()
            unit = sql.Literal(str(self._breakdown))
            if self._own_timezone:
                moved = local if shift is None else sql.SQL("({} + {})").format(local, shift)
                return sql.SQL("date_trunc({}, {})").format(unit, moved)
            instant: sql.Composable = sql.SQL("f.event_at")
            if shift is not None:
                instant = sql.SQL("(({} + {}) at time zone {})").format(local, shift, self._zone())
            return sql.SQL("date_trunc({}, {}, {})").format(unit, instant, self._zone())
        template = _TIME[self._breakdown]
        return sql.SQL(template).format(
            date=self._date(shift), unshifted_date=self._date(None), local=self._local()
        )

    def _is_one_calendar(self) -> sql.Composable:
        """Whether days of the account and of the reader are the same spans of time.

        Asked only where a ratio has a part that is known by the hour and one known by the day.
        """
        if self._own_timezone or not any(map(self._mixes_calendars, self._measures)):
            return sql.SQL("true")
        return sql.SQL(
            "bool_and(not f.is_day or ("
            "f.event_date::timestamp at time zone f.timezone,"
            " (f.event_date + 1)::timestamp at time zone f.timezone) = ("
            "f.event_date::timestamp at time zone {zone},"
            " (f.event_date + 1)::timestamp at time zone {zone}))"
        ).format(zone=self._zone())

    # What becomes of the groups.

    def _group_names(self) -> list[sql.Identifier]:
        return [sql.Identifier(name) for name in self._query.groups]

    def _totals(self) -> sql.Composed:
        over = sql.SQL(", ").join(self._group_names()) if self._query.groups else sql.SQL("true")
        totals = [
            sql.SQL(
                "sum({0}) filter (where not is_previous) over (partition by {1}) as {2}"
            ).format(sql.Identifier(name), over, sql.Identifier(f"total_{name}"))
            for name in self._sums
        ]
        return sql.SQL("    select base.*, {} from base").format(sql.SQL(", ").join(totals))

    def _placed(self) -> sql.Composable:
        if self._query.top is None:
            return sql.SQL("    select totals.*, 0 as place from totals")
        keys = [name for name in self._query.groups if name != "currency"]
        currency = "partition by currency " if "currency" in self._query.groups else ""
        ranked = self._query.ranked_by
        worth = (
            sql.SQL("null::numeric")
            if ranked in self._missing
            else self._measure(ranked, "total_{}")
        )
        return sql.SQL(
            "    select totals.*, dense_rank() over ({} order by {} desc nulls last, {}) as place"
            " from totals"
        ).format(
            sql.SQL(currency),
            worth,
            sql.SQL(", ").join(map(sql.Identifier, keys)) if keys else sql.SQL("true"),
        )

    def _folded(self) -> sql.Composed:
        keys: list[sql.Composable] = [sql.Identifier("time")]
        for name in self._query.groups:
            if name == "currency":
                keys.append(sql.Identifier(name))
                continue
            keys.append(
                sql.SQL("case when place <= {} then {} end").format(
                    sql.SQL("coalesce({}::int, 0)").format(sql.Placeholder("top")),
                    sql.Identifier(name),
                )
            )
        keys.append(sql.SQL("place > coalesce({}::int, 0)").format(sql.Placeholder("top")))
        names = ["time", *self._query.groups, "is_rest"]
        sums = [
            sql.SQL("sum({0}) filter (where {1}) as {2}").format(
                sql.Identifier(name), sql.SQL(condition), sql.Identifier(prefix + name)
            )
            for name in self._sums
            for prefix, condition in (("", "not is_previous"), ("previous_", "is_previous"))
        ]
        for prefix, condition in (("", "not is_previous"), ("previous_", "is_previous")):
            sums.append(
                sql.SQL("bool_and(is_one_calendar) filter (where {}) as {}").format(
                    sql.SQL(condition), sql.Identifier(f"{prefix}is_one_calendar")
                )
            )
        return sql.SQL("    select {}, {} from placed group by {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} as {}").format(key, sql.Identifier(name))
                for key, name in zip(keys, names, strict=True)
            ),
            sql.SQL(", ").join(sums),
            sql.SQL(", ").join(sql.SQL(str(n + 1)) for n in range(len(keys))),
        )

    def _measured(self) -> sql.Composed:
        columns: list[sql.Composable] = [
            sql.Identifier(name) for name in ("time", *self._query.groups, "is_rest")
        ]
        calendars = ["is_one_calendar"]
        for measure in dict.fromkeys(self._query.measures):
            now = self._value(measure, "")
            columns.append(sql.SQL("{} as {}").format(now, sql.Identifier(measure)))
            if self._query.compare is None:
                continue
            before = self._value(measure, "previous_")
            columns += [
                sql.SQL("{} as {}").format(before, sql.Identifier(f"previous_{measure}")),
                sql.SQL("round(100 * ({0} - {1}) / nullif({1}, 0), 6) as {2}").format(
                    now, before, sql.Identifier(f"change_{measure}")
                ),
            ]
            calendars.append("previous_is_one_calendar")
        columns.append(
            sql.SQL(" and ").join(
                sql.SQL("coalesce({}, true)").format(sql.Identifier(name)) for name in calendars
            )
            + sql.SQL(" as is_one_calendar")
        )
        return sql.SQL("    select {} from folded").format(sql.SQL(", ").join(columns))

    def _value(self, measure: str, prefix: str) -> sql.Composable:
        if measure in self._missing:
            return sql.SQL("null::numeric")
        value = self._measure(measure, prefix + "{}")
        if self._layer.sums.get(measure) is None and self._mixes_calendars(measure):
            return sql.SQL("case when coalesce({}, true) then {} end").format(
                sql.Identifier(f"{prefix}is_one_calendar"), value
            )
        return value

    def _mixes_calendars(self, measure: str) -> bool:
        return len({self._layer.sums[part].known_by for part in self._layer.parts(measure)}) > 1

    def _measure(self, measure: str, name: str) -> sql.Composable:
        """Of sums in columns called ``name`` with the sum's own name in it."""
        kind = self._layer.measures[measure]
        if not isinstance(kind, Ratio):
            return sql.Identifier(name.format(measure))
        return sql.SQL("round({} * {} / nullif({}, 0)::numeric, 6)").format(
            sql.Literal(kind.factor),
            sql.Identifier(name.format(kind.of)),
            sql.Identifier(name.format(kind.over)),
        )

    def _final(self) -> sql.Composed:
        names, joins = [], []
        for name in self._query.groups:
            dimension = self._layer.dimensions[name]
            if dimension.name is None:
                continue
            alias = sql.Identifier(f"name_of_{name}")
            names.append(
                sql.SQL(", {}.{} as {}").format(
                    alias, sql.Identifier(dimension.name), sql.Identifier(f"{name}_name")
                )
            )
            joins.append(
                sql.SQL(" left join marts.{} as {} on {}.{} = measured.{}").format(
                    sql.Identifier(str(dimension.table)),
                    alias,
                    alias,
                    sql.Identifier(str(dimension.key)),
                    sql.Identifier(name),
                )
            )
        return sql.SQL(
            "select measured.*{}, count(*) over () as total_rows from measured{}"
            " order by {} limit {} offset {}"
        ).format(
            sql.SQL("").join(names),
            sql.SQL("").join(joins),
            sql.SQL(", ").join(self._order()),
            sql.Placeholder("limit"),
            sql.Placeholder("offset"),
        )

    def _order(self) -> Sequence[sql.Composable]:
        """What was asked for, then time, the rest last, then all keys: pages never overlap."""
        order: list[sql.Composable] = []
        if self._breakdown is None:
            order.append(sql.SQL("measured.is_rest"))
        for name in self._query.sort:
            direction = sql.SQL("desc nulls last" if name.startswith("-") else "asc nulls last")
            order.append(
                sql.SQL("measured.{} {}").format(sql.Identifier(name.removeprefix("-")), direction)
            )
        order += [sql.SQL("measured.time"), sql.SQL("measured.is_rest")]
        if not self._query.sort:
            order.append(
                sql.SQL("measured.{} desc nulls last").format(
                    sql.Identifier(self._query.measures[0])
                )
            )
        order += [sql.SQL("measured.{}").format(name) for name in self._group_names()]
        return order

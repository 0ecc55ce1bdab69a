"""How fast each account's past days still change, learned from what earlier pulls of them found.

The evidence is the ledger's rows of the account totals: one row a day, all ads and all actions.
A change is counted in usual days: 0.05 of ``actions:purchase`` is five in a hundred of the
purchases of a usual day. These are estimates for scheduling, in floating point; no number that
anyone reads comes from here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from meta_ads_pipeline.control.accounts import Account
from meta_ads_pipeline.control.database import Connection
from meta_ads_pipeline.control.refresh_decisions import Found
from meta_ads_pipeline.insights_tables import MEASURES
from meta_ads_pipeline.windows import SETTLED_AFTER_DAYS, local_today

TOTALS = "account_totals"
CLOSED_AFTER_HOURS = 6
"""So long after its midnight a day still grows by what was not reported yet: no restatement."""

REPORTED_AFTER_HOURS = 1
"""By then nearly all of a day is reported: what changes later is evidence of restatement."""

BANDS = (1, 2, 3, 7, 14, SETTLED_AFTER_DAYS)
"""Ages in days up to which each band goes: evidence of single old ages would be thin."""

USUAL_RATES = (0.08, 0.03, 0.02, 0.01, 0.004, 0.001)
"""By band: what is expected a day of an account that nothing is known of yet."""

USUAL_CORRECTION = 0.5
"""How likely a pull finds delivery changed, for an account that nothing is known of yet."""

TRUST = 3.0
"""Days of evidence, or pulls, that weigh as much as the two assumptions above."""

TRUST_COUNT = 300.0
"""Likewise in counts: three late purchases of an account with two a day are chance, no rate."""

EVIDENCE_DAYS, USUAL_DAYS = 90, 28
LEAST_COUNT = 50
"""Actions rarer than so many in ``USUAL_DAYS`` days say more of chance than of lateness."""


def band_of(age: int) -> int:
    """The place of an age (1 to 28 days) in ``BANDS``."""
    return next(place for place, last in enumerate(BANDS) if age <= last)


def closed_at(day: date, timezone: str) -> datetime:
    """When an account-local date is whole (UTC): some hours after its midnight."""
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone))
    return midnight.astimezone(UTC) + timedelta(hours=CLOSED_AFTER_HOURS)


def waiting(
    day: date, timezone: str, since: datetime, until: datetime
) -> Iterator[tuple[int, float]]:
    """The time between two instants as days at each age of an account-local date, 1 to 28."""
    zone = ZoneInfo(timezone)
    for age in range(1, SETTLED_AFTER_DAYS + 1):
        first, last = (
            datetime.combine(day + timedelta(days=n), time(), zone).astimezone(UTC)
            for n in (age, age + 1)
        )
        seconds = (min(last, until) - max(first, since)).total_seconds()
        if seconds > 0:
            yield age, seconds / 86_400


@dataclass
class ChangeRates:
    """What is known of one account. ``usual``: a usual day of each measure.

    ``changes`` are sums of absolute changes by measure and band, ``watched`` the days of waiting
    that they came in; ``pulls`` by band, of which ``corrections`` found delivery changed.
    ``values`` are what the dates hold now.
    """

    usual: dict[str, float] = field(default_factory=dict)
    values: dict[date, dict[str, float]] = field(default_factory=dict)
    changes: dict[tuple[str, int], float] = field(default_factory=dict)
    watched: dict[int, float] = field(default_factory=dict)
    pulls: dict[int, int] = field(default_factory=dict)
    corrections: dict[int, int] = field(default_factory=dict)

    def rate(self, measure: str, age: int) -> float:
        """Change a day at this age, in usual days of the measure."""
        band, usual = band_of(age), self.usual[measure]
        trust = TRUST
        if measure.startswith("actions:"):
            trust = max(trust, TRUST_COUNT / usual)
        found = self.changes.get((measure, band), 0.0) / usual
        return (found + trust * USUAL_RATES[band]) / (self.watched.get(band, 0.0) + trust)

    def expected_change(
        self, day: date, timezone: str, since: datetime, now: datetime
    ) -> tuple[float, str | None]:
        """What has changed since a pull, by expectation: of the measure that changes most.

        The measure is None where nothing is known of any.
        """
        waits = list(waiting(day, timezone, max(since, closed_at(day, timezone)), now))
        if not self.usual:
            return sum(USUAL_RATES[band_of(age)] * days for age, days in waits), None
        held = self.values.get(day, {})
        expected = {
            measure: held.get(measure, 0.0)
            / usual
            * sum(self.rate(measure, age) * days for age, days in waits)
            for measure, usual in self.usual.items()
        }
        measure = max(sorted(expected), key=lambda name: expected[name])
        return expected[measure], measure

    def correction_chance(self, age: int) -> float:
        """How likely a pull at this age finds delivery changed, so that hours are read again."""
        band = band_of(age)
        found, pulls = self.corrections.get(band, 0), self.pulls.get(band, 0)
        return (found + TRUST * USUAL_CORRECTION) / (pulls + TRUST)


def change_rates(
    connection: Connection, accounts: Sequence[Account], now: datetime
) -> dict[str, ChangeRates]:
    """The rates of each account as of ``now`` (aware), by account id."""
    rates = {account.account_id: ChangeRates() for account in accounts}
    known = {"accounts": list(rates), "since": (now - timedelta(days=EVIDENCE_DAYS)).date()}
    for row in connection.execute(_WATCHED, known).fetchall():
        found, band = rates[row["account_id"]], band_of(row["age"])
        found.watched[band] = found.watched.get(band, 0.0) + row["days"]
        found.pulls[band] = found.pulls.get(band, 0) + row["pulls"]
    for row in connection.execute(_CHANGES, known).fetchall():
        found, key = rates[row["account_id"]], (row["measure"], band_of(row["age"]))
        found.changes[key] = found.changes.get(key, 0.0) + row["change"]
    for row in connection.execute(_CORRECTIONS, known | {"delivery": list(MEASURES)}).fetchall():
        found, band = rates[row["account_id"]], band_of(row["age"])
        found.corrections[band] = found.corrections.get(band, 0) + row["pulls"]
    for account in accounts:
        found = rates[account.account_id]
        today = local_today(account.timezone, now)
        first = today - timedelta(days=USUAL_DAYS)
        parameters = {"account": account.account_id, "first": first, "today": today}
        sums: defaultdict[str, float] = defaultdict(float)
        for row in connection.execute(_VALUES, parameters).fetchall():
            found.values.setdefault(row["event_date"], {})[row["measure"]] = row["value"]
            sums[row["measure"]] += row["value"]
        found.usual = {
            measure: total / len(found.values)
            for measure, total in sums.items()
            if total >= (LEAST_COUNT if measure.startswith("actions:") else 1)
        }
    return rates


def found_since(
    connection: Connection, rates: Mapping[str, ChangeRates], account_ids: Collection[str]
) -> list[Found]:
    """What the first pull after each open decision of these accounts found, where there was one.

    Changes are counted in usual days as ``rates`` know them, of the measure that changed most.
    """
    rows = connection.execute(_FOUND, {"accounts": list(account_ids)}).fetchall()
    best: dict[int, Found] = {}
    for row in rows:
        usual = rates[row["account_id"]].usual.get(row["measure"] or "", 0.0)
        change = (row["change"] or 0.0) / usual if usual else 0.0
        known = best.get(row["decision_id"])
        if known is None or change > known.change:
            measure = row["measure"] if change else None
            best[row["decision_id"]] = Found(row["decision_id"], row["pulled_at"], change, measure)
    return list(best.values())


_REPORTED = (
    f"((%s + 1)::timestamp at time zone a.timezone) + interval '{REPORTED_AFTER_HOURS} hours'"
)
# The age in the middle of a wait: when it ended says little of when things changed.
_AGE_BETWEEN = "((%s + (%s - %s) / 2) at time zone a.timezone)::date - %s"
_BEFORE = "c.previous_pulled_at"
_LEDGER_AGE = _AGE_BETWEEN % (_BEFORE, "c.detected_at", _BEFORE, "c.event_date")
_AGE = f"between 1 and {SETTLED_AFTER_DAYS}"

_WATCHED = f"""
select account_id, age, count(*)::int as pulls,
    (sum(extract(epoch from pulled_at - previous)) / 86400)::float as days
from (
    select l.account_id, l.pulled_at, l.previous,
        {_AGE_BETWEEN % ("l.previous", "l.pulled_at", "l.previous", "l.partition_date")} as age
    from (
        select account_id, partition_date, pulled_at, lag(pulled_at) over (
            partition by account_id, partition_date order by pulled_at, load_id
        ) as previous
        from control.slice_loads
        where asset = '{TOTALS}' and account_id = any(%(accounts)s)
            and partition_date >= %(since)s
    ) as l
    join control.ad_accounts as a using (account_id)
    where l.previous >= {_REPORTED % "l.partition_date"}
) as loads
where age {_AGE}
group by account_id, age
"""

_LEDGER = f"""
    select c.account_id, c.event_date, c.measure, c.detected_at,
        {_LEDGER_AGE} as age,
        abs(coalesce(c.new_value::numeric, 0) - coalesce(c.old_value::numeric, 0)) as change
    from raw.insights_changes as c
    join control.ad_accounts as a using (account_id)
    where c.asset = '{TOTALS}' and c.account_id = any(%(accounts)s)
        and (c.measure like 'actions:%%' or c.measure not like '%%:%%')
        and concat(c.old_value, c.new_value) ~ '^[0-9.]+$'
"""
_EVIDENCE = f"""{_LEDGER}
        and c.event_date >= %(since)s and c.previous_pulled_at >= {_REPORTED % "c.event_date"}
"""
_CHANGES = f"""
select account_id, age, measure, sum(change)::float as change
from ({_EVIDENCE}) as ledger where age {_AGE} group by account_id, age, measure
"""
_CORRECTIONS = f"""
select account_id, age, count(distinct (event_date, detected_at))::int as pulls
from ({_EVIDENCE}) as ledger
where age {_AGE} and measure = any(%(delivery)s) group by account_id, age
"""

_VALUES = f"""
select t.event_date, m.measure, m.value::float as value
from raw.{TOTALS} as t
cross join lateral (
    values {", ".join(f"('{name}', t.{name}::numeric)" for name in MEASURES)}
    union all
    select 'actions:' || action_type, sum(value)
    from jsonb_to_recordset(t.actions) as item (action_type text, value numeric)
    where action_type is not null group by action_type
) as m (measure, value)
where t.account_id = %(account)s and t.event_date >= %(first)s and t.event_date < %(today)s
    and m.value is not null
"""

_FOUND = f"""
select d.decision_id, d.account_id, d.pulled_at, ledger.measure, ledger.change::float as change
from (
    select decision_id, account_id, partition_date, (
        select min(l.pulled_at) from control.slice_loads as l
        where l.account_id = d.account_id and l.partition_date = d.partition_date
            and l.asset = '{TOTALS}' and l.pulled_at > d.decided_at
    ) as pulled_at
    from control.refresh_decisions as d
    where found_at is null and account_id = any(%(accounts)s)
) as d
left join ({_LEDGER}) as ledger
    on ledger.account_id = d.account_id and ledger.event_date = d.partition_date
    and ledger.detected_at = d.pulled_at
where d.pulled_at is not null
"""

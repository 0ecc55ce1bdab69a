"""control: days older than Meta keeps hours for are whole with their daily pulls."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"

STATEMENTS = """
create or replace view control.account_days as
with pulls as (
    select
        s.account_id,
        s.partition_date as event_date,
        count(s.pulled_at) as pulls,
        bool_or(s.status = 'not_kept' and s.asset = 'insights_hourly') as hours_not_kept,
        bool_or(s.status = 'not_kept' and s.asset <> 'insights_hourly') as is_not_kept,
        coalesce(bool_or(s.pulled_at is not null) filter (where s.asset = 'insights_hourly'), false)
            as has_hours,
        coalesce(bool_or(s.pulled_at is not null) filter (where s.asset = 'insights_daily'), false)
            as has_days,
        coalesce(bool_or(s.pulled_at is not null) filter (where s.asset = 'account_totals'), false)
            as has_totals,
        min(s.pulled_at) as first_pulled_at,
        max(s.pulled_at) as last_pulled_at,
        max(s.pulled_at) filter (where s.asset = 'insights_hourly') as hours_pulled_at
    from control.slices as s
    where s.asset in ('insights_hourly', 'insights_daily', 'account_totals')
    group by s.account_id, s.partition_date
),
history as (
    select
        a.account_id,
        a.timezone,
        a.is_active,
        (control.current_instant() at time zone a.timezone)::date as today,
        p.first_date,
        p.last_date
    from control.ad_accounts as a
    join (
        select
            account_id,
            min(event_date) as first_date,
            max(event_date) as last_date
        from pulls
        group by account_id
    ) as p on p.account_id = a.account_id
),
days as (
    select
        h.account_id,
        h.is_active,
        h.today,
        d.event_date,
        p.account_id is not null as is_asked,
        coalesce(p.hours_not_kept, false) as hours_not_kept,
        coalesce(p.is_not_kept, false) as is_not_kept,
        coalesce(p.pulls = 3 - p.hours_not_kept::int, false) as is_pulled,
        p.has_hours,
        p.has_days,
        p.has_totals,
        case when p.pulls = 3 - p.hours_not_kept::int then p.first_pulled_at end as pulled_at,
        p.last_pulled_at,
        p.hours_pulled_at,
        -- A date keeps the timezone that it was pulled under, whatever the account's is now.
        coalesce(t.timezone, h.timezone) as timezone,
        d.event_date::timestamp at time zone coalesce(t.timezone, h.timezone) as starts_at,
        (d.event_date + 1)::timestamp at time zone coalesce(t.timezone, h.timezone) as ends_at
    from history as h
    cross join lateral (
        select h.first_date + n as event_date
        from generate_series(0, greatest(h.today, h.last_date) - h.first_date) as n
    ) as d
    left join pulls as p on p.account_id = h.account_id and p.event_date = d.event_date
    left join raw.account_totals as t
        on t.account_id = h.account_id and t.event_date = d.event_date
),
judged as (
    select
        days.*,
        days.ends_at <= control.current_instant() as is_over,
        coalesce(days.pulled_at >= days.ends_at, false) as is_complete,
        coalesce(
            (days.pulled_at at time zone days.timezone)::date - days.event_date > 28, false
        ) as is_settled
    from days
)
select
    j.account_id,
    j.event_date,
    j.timezone,
    j.is_active,
    j.starts_at,
    j.ends_at,
    j.is_asked,
    coalesce(j.has_hours, false) as has_hours,
    coalesce(j.has_days, false) as has_days,
    coalesce(j.has_totals, false) as has_totals,
    j.pulled_at,
    j.last_pulled_at,
    case when j.hours_pulled_at > j.starts_at then least(j.hours_pulled_at, j.ends_at) end
        as hours_until,
    j.is_over,
    j.is_complete,
    j.is_settled,
    held.reason is not null as is_held,
    held.reason as held_because,
    j.today - j.event_date > 28 as can_settle,
    -- Six hours after its end a day's last hours have come in; until then today's refresh reads it.
    j.ends_at + interval '6 hours' <= control.current_instant()
    and not j.is_not_kept
    -- Of hours that are landed and can no longer be asked for, nothing more is to be had.
    and (j.hours_not_kept or j.event_date >= (j.today - interval '13 months')::date)
    and (not j.is_complete or (not j.is_settled and j.today - j.event_date > 28)) as is_due,
    case
        when j.is_not_kept then 'not_kept'
        when not j.is_pulled then case when j.is_over then 'missing' else 'open' end
        when held.reason is not null then 'held'
        when not j.is_complete then case when j.is_over then 'incomplete' else 'open' end
        when j.is_settled then 'settled'
        when j.today - j.event_date > 28 then 'unsettled'
        else 'complete'
    end as state,
    j.hours_not_kept
from judged as j
left join (
    select
        account_id,
        event_date,
        string_agg(
            asset || ' ' || check_name || ': ' || coalesce(message, ''), '; '
            order by asset, check_name
        ) as reason
    from control.check_results
    where status = 'failed' and severity = 'block' and event_date is not null
    group by account_id, event_date
) as held on held.account_id = j.account_id and held.event_date = j.event_date;

comment on column control.account_days.hours_not_kept is
    'The day is older than Meta keeps hours for, and none are landed: its delivery is known by the '
    'day only, and the ad days and the account total are all there is to pull.';
comment on column control.account_days.pulled_at is
    'The oldest of the last pulls of hours (where Meta keeps them), ad days and account total; '
    'null: one was never pulled.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

with dates as (
    select days.day::date as event_date
    from generate_series(%(start)s::timestamp, %(end)s::timestamp, interval '1 day') as days (day)
),

-- A row that is inserted or updated gets a later xmin, one that goes lowers the count: equal sums
-- are equal rows, whatever wrote them.
landed as (
    select
        name,
        event_date,
        count(*) || ':' || sum(xmin::text::bigint) as state
    from (
        select
            'insights_hourly' as name,
            event_date,
            xmin
        from raw.insights_hourly
        union all
        select
            'insights_daily' as name,
            event_date,
            xmin
        from raw.insights_daily
        union all
        select
            'account_totals' as name,
            event_date,
            xmin
        from raw.account_totals
        union all
        select
            'insights_reach' as name,
            event_date,
            xmin
        from raw.insights_reach
        union all
        select
            'insights_changes' as name,
            event_date,
            xmin
        from raw.insights_changes
        union all
        select
            'ingested_facts' as name,
            event_date,
            xmin
        from raw.ingested_facts
    ) as landed_rows
    where event_date between %(start)s and %(end)s
    group by name, event_date
),

-- When a day was last pulled matters by its age then: that decides which deviation is tolerated. And
-- by the hours that may be judged since: an hour without a row is one without delivery.
account_days as (
    select
        days.event_date,
        string_agg(
            concat_ws(
                ',',
                days.account_id, days.timezone, days.is_active, days.is_asked, days.has_hours,
                days.has_days, days.has_totals, days.hours_not_kept, days.is_complete,
                days.is_settled, days.is_held, days.held_because, least(days.age, 2),
                (
                    select count(*)
                    from unnest(%(tolerance_ages)s::int[]) as ages (age)
                    where ages.age <= days.age
                ),
                floor(extract(epoch from days.judged_until at time zone days.timezone) / 1800),
                floor(extract(epoch from days.hours_until at time zone days.timezone) / 1800)
            ),
            ';' order by days.account_id
        ) as state
    from (
        select
            account_days.*,
            (last_pulled_at at time zone timezone)::date - event_date as age,
            least(
                last_pulled_at - interval '1 minute' * %(grace_minutes)s, ends_at
            ) as judged_until
        from control.account_days
        where event_date between %(start)s and %(end)s
    ) as days
    group by days.event_date
),

-- Of landed rows alone: what is compared in the marts is an outcome of the build.
checks as (
    select
        event_date,
        string_agg(
            concat_ws(',', account_id, asset, check_name, status, severity),
            ';' order by account_id, asset, check_name
        ) as state
    from control.check_results
    where event_date between %(start)s and %(end)s and asset like 'raw/%%'
    group by event_date
),

windows as (
    select
        partition_date as event_date,
        string_agg(
            concat_ws(',', account_id, asset, attribution_windows::text),
            ';' order by account_id, asset
        ) as state
    from control.slices
    where partition_date between %(start)s and %(end)s
    group by partition_date
),

shared as (
    select
        concat_ws(
            '|',
            %(project)s::text,
            (select count(*) || ':' || sum(xmin::text::bigint) from control.workspaces),
            (select count(*) || ':' || sum(xmin::text::bigint) from control.ad_accounts),
            (select count(*) || ':' || sum(xmin::text::bigint) from control.account_timezones),
            (select count(*) || ':' || sum(xmin::text::bigint) from raw.custom_conversions)
        ) as state
)

select
    dates.event_date,
    md5(
        concat_ws(
            '|',
            shared.state,
            (
                select string_agg(landed.state, ',' order by landed.name)
                from landed
                where landed.event_date = dates.event_date
            ),
            account_days.state,
            checks.state,
            windows.state
        )
    ) as digest
from dates
cross join shared
left join account_days on dates.event_date = account_days.event_date
left join checks on dates.event_date = checks.event_date
left join windows on dates.event_date = windows.event_date

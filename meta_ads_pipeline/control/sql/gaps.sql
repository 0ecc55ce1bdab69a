with history as (
    select
        a.account_id,
        wanted.asset,
        least(
            min(s.partition_date),
            case
                when wanted.asset <> %(reach)s
                    then (a.created_at at time zone a.timezone)::date - %(new_days)s::int
            end
        ) as first,
        -- Yesterday's reach is asked for once, in the morning.
        (%(now)s at time zone a.timezone)::date - 1
        - (wanted.asset = %(reach)s)::int as last
    from control.ad_accounts as a
    inner join control.slices as s using (account_id)
    inner join unnest(%(assets)s::text[]) as wanted (asset)
        on case
            when wanted.asset = %(reach)s then s.asset = %(reach)s
            else s.asset = any(%(insights)s)
        end
    where
        a.is_active and s.status = any(%(there)s)
        and (%(only)s::text[] = '{}' or a.account_id = any(%(only)s))
    group by a.account_id, a.created_at, a.timezone, wanted.asset
)

select
    h.account_id,
    h.asset,
    day::date as day,
    case
        when s.status = any(%(there)s)
            then case when d.is_complete then %(unsettled)s else %(incomplete)s end
        else coalesce(s.status, %(missing)s)
    end as status
from history as h
cross join generate_series(h.first, h.last, interval '1 day') as day
left join control.slices as s
    on
        h.account_id = s.account_id
        and s.partition_date = day::date and h.asset = s.asset
left join control.account_days as d
    on
        h.account_id = d.account_id
        and d.event_date = day::date and d.is_due and h.asset = any(%(insights)s)
where
    s.status is null or s.status <> all(%(there)s)
    -- Held account-days are tried again by their own clock.
    or (d.is_due and s.status = 'done')
order by 1, 2, 4, 3

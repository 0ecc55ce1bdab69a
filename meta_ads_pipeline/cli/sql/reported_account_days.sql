select
    d.account_id,
    a.name,
    a.currency,
    d.event_date,
    d.spend,
    d.impressions,
    d.clicks,
    d.purchases,
    d.revenue,
    d.leads,
    case
        when %(since)s::timestamptz is not null and pulled.slices < cardinality(%(assets)s::text[])
            then 'not pulled'
        when not %(built)s then 'not built'
        else coalesce(r.status, 'not checked')
    end as reconciled
from marts.account_daily as d
left join marts.dim_ad_accounts as a using (account_id)
left join (
    select
        account_id,
        event_date,
        case
            when bool_or(status = 'mismatch') then 'no'
            when bool_or(status = 'incomplete') then 'incomplete'
            when bool_or(status = 'within_tolerance') then 'nearly'
            else 'yes'
        end as status
    from marts.reconciliation
    group by 1, 2
) as r using (account_id, event_date)
cross join
    lateral (
        select count(*) as slices
        from control.slices as s
        where
            s.account_id = d.account_id and s.partition_date = d.event_date
            and s.asset = any(%(assets)s) and s.status = 'done'
            and s.finished_at >= %(since)s::timestamptz
    ) as pulled
where
    d.provider = 'meta'
    and d.event_date between %(start)s and %(end)s
    and (cardinality(%(accounts)s::text[]) = 0 or d.account_id = any(%(accounts)s))
order by d.account_id, d.event_date

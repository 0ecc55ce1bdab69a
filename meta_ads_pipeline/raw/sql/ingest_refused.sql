-- What counts a number twice, or is another's. `measures` are bits, one for each measure.
with groups as (
    select
        f.provider,
        f.account_id,
        f.level,
        f.external_entity_id,
        f.campaign_id,
        f.adset_id,
        f.grain,
        f.event_date,
        bit_or(f.measures) as measures
    from facts as f
    group by 1, 2, 3, 4, 5, 6, 7, 8
),

-- Account-days in which another grain or level has one of these measures: only they are looked into.
suspected as (
    select
        g.*,
        d.other_grains & g.measures > 0 as has_other_grain,
        d.other_levels & g.measures > 0 as has_other_level
    from groups as g
    inner join lateral (
        select
            case g.grain when 'minute' then 0 else d.by_minute end
            | case g.grain when 'hour' then 0 else d.by_hour end
            | case g.grain when 'day' then 0 else d.by_day end as other_grains,
            case g.level when 'account' then 0 else d.by_account end
            | case g.level when 'campaign' then 0 else d.by_campaign end
            | case g.level when 'adset' then 0 else d.by_adset end
            | case g.level when 'ad' then 0 else d.by_ad end as other_levels
        from raw.ingested_days as d
        where
            d.event_date = g.event_date and d.provider = g.provider
            and d.account_id = g.account_id
    ) as d on true
    where (d.other_grains | d.other_levels) & g.measures > 0
),

landed as materialized (
    select
        g.*,
        case when g.has_other_grain then (
            select min(r.grain) from raw.ingested_facts as r
            where
                r.event_date = g.event_date and r.account_id = g.account_id
                and r.external_entity_id = g.external_entity_id
                and r.grain <> g.grain and r.provider = g.provider and r.level = g.level
                and {{ measures_of_r }} & g.measures > 0
        ) end as other_grain,
        case when g.has_other_level then (
            select min(r.level) from raw.ingested_facts as r
            where
                r.external_entity_id in (g.account_id, g.campaign_id, g.adset_id)
                and r.event_date = g.event_date and r.provider = g.provider
                and r.account_id = g.account_id
                and array_position(array['account', 'campaign', 'adset', 'ad'], r.level)
                < array_position(array['account', 'campaign', 'adset', 'ad'], g.level)
                and {{ measures_of_r }} & g.measures > 0
        ) end as level_above,
        case when g.has_other_level and g.level <> 'ad' then (
            select min(r.level) from raw.ingested_facts as r
            where
                r.event_date = g.event_date and r.account_id = g.account_id
                and array_position(array['account', 'campaign', 'adset', 'ad'], r.level)
                > array_position(array['account', 'campaign', 'adset', 'ad'], g.level)
                and r.provider = g.provider
                and (
                    g.level = 'account' or g.external_entity_id in (r.campaign_id, r.adset_id)
                )
                and {{ measures_of_r }} & g.measures > 0
        ) end as level_below
    from suspected as g
),

in_request as materialized (
    select
        g.*,
        (
            select min(o.grain) from groups as o
            where
                o.external_entity_id = g.external_entity_id and o.event_date = g.event_date
                and o.provider = g.provider and o.level = g.level and o.measures & g.measures > 0
                and array_position(array['minute', 'hour', 'day'], o.grain)
                < array_position(array['minute', 'hour', 'day'], g.grain)
        ) as other_grain,
        (
            select min(o.level) from groups as o
            where
                o.provider = g.provider and o.account_id = g.account_id
                and o.event_date = g.event_date and o.level <> g.level
                and (
                    o.level <> 'account' and g.level = 'account'
                    or o.campaign_id = g.external_entity_id and g.level = 'campaign'
                    or o.adset_id = g.external_entity_id and g.level = 'adset'
                )
                and o.measures & g.measures > 0
        ) as level_below
    from groups as g
    where {{ has_several }}
),

doubled as materialized (
    select
        coalesce(l.provider, q.provider) as provider,
        coalesce(l.level, q.level) as level,
        coalesce(l.external_entity_id, q.external_entity_id) as external_entity_id,
        coalesce(l.grain, q.grain) as grain,
        coalesce(l.event_date, q.event_date) as event_date,
        case
            when coalesce(l.other_grain, q.other_grain) is not null
                then
                    'grain: by the ' || coalesce(l.other_grain, q.other_grain)
                    || ' the same measures of it are there for '
                    || coalesce(l.event_date, q.event_date)
            else
                'level: the same measures are there at the level '
                || coalesce(l.level_above, l.level_below, q.level_below)
                || ' for ' || coalesce(l.event_date, q.event_date)
        end || ', and would count twice' as reason
    from landed as l
    full join in_request as q
        on
            l.provider = q.provider and l.level = q.level and l.grain = q.grain
            and l.external_entity_id = q.external_entity_id and l.event_date = q.event_date
    where num_nonnulls(
        l.other_grain, l.level_above, l.level_below, q.other_grain, q.level_below
    ) > 0
),

pulled as (
    select distinct
        s.account_id,
        s.partition_date
    from control.slices as s
    inner join (
        select distinct
            account_id,
            event_date
        from facts
        where provider = 'meta'
    ) as d on s.account_id = d.account_id and s.partition_date = d.event_date
    where s.asset in ('insights_hourly', 'insights_daily') and s.pulled_at is not null
)

select
    f.n,
    'provider' as field,
    'provider: ' || f.event_date || ' of act_' || f.account_id
    || ' is pulled from Meta itself, and would count twice' as reason
from facts as f
inner join pulled as p on f.account_id = p.account_id and f.event_date = p.partition_date
where f.provider = 'meta'
union all
select
    f.n,
    'event_at' as field,
    'event_at: ' || f.event_date || case
        when f.event_date < %(first)s then ' is before the history''s start, ' || %(first)s::text
        else ' lies in the future'
    end as reason
from facts as f
where f.event_date < %(first)s or f.starts_at > now() + interval '5 minutes'
union all
select
    f.n,
    split_part(d.reason, ':', 1) as field,
    d.reason
from facts as f
inner join doubled as d
    on
        f.provider = d.provider and f.level = d.level and f.grain = d.grain
        and f.external_entity_id = d.external_entity_id and f.event_date = d.event_date
union all
select
    f.n,
    'natural_key' as field,
    'natural_key: a later row of the request has the same, ' || f.natural_key as reason
from facts as f
inner join (
    select
        natural_key,
        event_date,
        max(n) as last_n
    from facts
    group by natural_key, event_date
    having count(*) > 1
) as d on f.natural_key = d.natural_key and f.event_date = d.event_date
where f.n < d.last_n

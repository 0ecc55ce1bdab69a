-- What the ad sets of an account-day aim at by now, as a hash: another one than the facts were
-- built with means that a goal has changed since.
select
    daily.account_id,
    daily.event_date,
    md5(string_agg(
        daily.adset_id || ':' || coalesce(goals.goal, '')
        || ':' || coalesce(goals.conversions::text, ''),
        ',' order by daily.adset_id
    )) as goals
from {{ ref('adset_daily') }} as daily
left join {{ ref('int_meta__adset_goals') }} as goals on daily.adset_id = goals.adset_id
where daily.provider = 'meta'
group by daily.account_id, daily.event_date

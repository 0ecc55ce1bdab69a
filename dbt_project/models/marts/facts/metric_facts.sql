{{ config(
    unique_key=['natural_key', 'event_date'],
    full_refresh=false,
    indexes=[{'columns': ['ad_id', 'event_date']}],
    pre_hook=[
        '{{ ensure_fact_partitions() }}',
        '{{ note_ingested_days() }}',
        '{{ hash_joins_only() }}'
    ],
    post_hook=['{{ settle_account_days() }}', '{{ analyze_after_bulk() }}'],
    meta={
        'kept_rows': "case old.source when 'insights' then not exists ("
        ~ "select 1 from intermediate.int_meta__agreed_account_days as agreed "
        ~ "where agreed.account_id = old.account_id and agreed.event_date = old.event_date) "
        ~ "else not exists (select 1 from raw.ingested_days as days "
        ~ "where days.event_date = old.event_date and days.provider = old.provider "
        ~ "and days.account_id = old.account_id) end"
    }
) }}

-- The table itself is made by a migration: it is partitioned by month, which dbt cannot do.
with accounts as (
    select
        account_id,
        workspace_id
    from {{ ref('stg_meta__ad_accounts') }}
),

agreed as materialized (
    select
        agreed.account_id,
        agreed.event_date,
        agreed.held_measures,
        agreed.has_hours,
        agreed.is_settled
    from {{ ref('int_meta__agreed_account_days') }} as agreed
    where {{ in_window('agreed.event_date') }}
),

goals as (
    select
        adset_id,
        goal,
        conversions
    from {{ ref('int_meta__adset_goals') }}
),

hours as not materialized (
    select hourly.*
    from {{ ref('stg_meta__insights_hourly') }} as hourly
    where
        {{ in_window('hourly.event_date') }}
        and (hourly.account_id, hourly.event_date) not in (
            select
                agreed.account_id,
                agreed.event_date
            from agreed
            where not agreed.has_hours
        )
),

-- An hour that the spring change skipped is labelled with an hour that does not exist: its row joins
-- the hour that its instant falls into.
joined_hours as materialized (
    select distinct
        ad_id,
        event_at,
        event_date
    from hours
    where hour_flag = 'skipped'
),

-- Delivery, on the hour. All others are neither sorted nor hashed for the few that join.
hour_rows as not materialized (
    select
        account_id,
        campaign_id,
        adset_id,
        ad_id,
        event_at,
        event_date,
        timezone,
        currency,
        spend,
        impressions,
        clicks,
        link_clicks,
        pulled_at
    from hours
    where
        (ad_id, event_at, event_date) not in (
            select
                joined_hours.ad_id,
                joined_hours.event_at,
                joined_hours.event_date
            from joined_hours
        )
    union all
    select
        hours.account_id,
        max(hours.campaign_id) as campaign_id,
        max(hours.adset_id) as adset_id,
        hours.ad_id,
        hours.event_at,
        hours.event_date,
        max(hours.timezone) as timezone,
        max(hours.currency) as currency,
        {{ summed_delivery('hours') }},
        max(hours.pulled_at) as pulled_at
    from hours
    inner join joined_hours
        on
            hours.ad_id = joined_hours.ad_id
            and hours.event_at = joined_hours.event_at
            and hours.event_date = joined_hours.event_date
    group by hours.account_id, hours.ad_id, hours.event_at, hours.event_date
),

-- Conversions, on the day: with the hourly breakdown Meta leaves out what happens off its own
-- surfaces. Delivery, too, of account-days so old that Meta keeps no hours of them.
day_rows as (
    select
        daily.account_id,
        daily.campaign_id,
        daily.adset_id,
        daily.ad_id,
        daily.event_date::timestamp at time zone daily.timezone as event_at,
        daily.event_date,
        daily.timezone,
        daily.currency,
        {% for measure in ['spend', 'impressions', 'clicks', 'link_clicks'] -%}
            max(daily.{{ measure }}) filter (where not agreed.has_hours) as {{ measure }},
        {% endfor -%}
        sum(conversions.value) filter (
            where conversions.conversion = 'purchases'
        ) as purchases,
        sum(conversions.value) filter (where conversions.conversion = 'revenue') as revenue,
        sum(conversions.value) filter (where conversions.conversion = 'leads') as leads,
        sum(conversions.value) filter (
            where conversions.conversion = any(coalesce(goals.conversions, campaign_goals.conversions))
        ) as conversions,
        daily.pulled_at
    from {{ ref('stg_meta__insights_daily') }} as daily
    inner join agreed
        on daily.account_id = agreed.account_id and daily.event_date = agreed.event_date
    left join {{ ref('int_meta__conversions') }} as conversions
        on
            daily.event_date = conversions.event_date
            and daily.ad_id = conversions.external_entity_id
            and conversions.level = 'ad'
            and {{ in_window('conversions.event_date') }}
    left join goals on daily.adset_id = goals.adset_id
    left join {{ ref('int_meta__campaign_goals') }} as campaign_goals
        on daily.campaign_id = campaign_goals.campaign_id
    where
        (
            not agreed.has_hours
            or conversions.conversion in ('purchases', 'revenue', 'leads')
            or conversions.conversion = any(coalesce(goals.conversions, campaign_goals.conversions))
        )
        and {{ in_window('daily.event_date') }}
    group by
        daily.account_id,
        daily.campaign_id,
        daily.adset_id,
        daily.ad_id,
        daily.event_date,
        daily.timezone,
        daily.currency,
        daily.pulled_at
),

unioned as not materialized (
    select
        {{ hour_key('ad_id', 'event_at') }} as natural_key,
        account_id,
        campaign_id,
        adset_id,
        ad_id,
        'hour' as grain,
        event_at,
        event_date,
        extract(hour from event_at at time zone timezone)::smallint as event_hour,
        timezone,
        currency,
        spend,
        impressions,
        clicks,
        link_clicks,
        null::numeric as purchases,
        null::numeric as revenue,
        null::numeric as leads,
        null::numeric as conversions,
        pulled_at
    from hour_rows
    union all
    select
        {{ day_key('ad_id', 'event_date') }} as natural_key,
        account_id,
        campaign_id,
        adset_id,
        ad_id,
        'day' as grain,
        event_at,
        event_date,
        null::smallint as event_hour,
        timezone,
        currency,
        spend,
        impressions,
        clicks,
        link_clicks,
        purchases,
        revenue,
        leads,
        conversions,
        pulled_at
    from day_rows
),

-- Of an account-day in which only some measures agree, the others stay as they were.
{%- set identity = [
    'natural_key', 'account_id', 'campaign_id', 'adset_id', 'ad_id', 'grain', 'event_at',
    'event_date', 'event_hour', 'timezone', 'currency'
] %}
{%- set measures = [
    'spend', 'impressions', 'clicks', 'link_clicks', 'purchases', 'revenue', 'leads'
] %}

partly_held as (
    select
        account_id,
        event_date,
        held_measures
    from agreed
    where held_measures <> '{}'
),

previous as (
    select facts.*
    from {{ this }} as facts
    inner join partly_held
        on facts.account_id = partly_held.account_id and facts.event_date = partly_held.event_date
    where facts.source = 'insights' and {{ dates_in_window('facts.event_date') }}
),

pulled as (
    select unioned.*
    from unioned
    inner join partly_held
        on
            unioned.account_id = partly_held.account_id
            and unioned.event_date = partly_held.event_date
),

partly_new as (
    select
        {% for name in identity -%}
            coalesce(pulled.{{ name }}, previous.{{ name }}) as {{ name }},
        {% endfor -%}
        {% for measure in measures -%}
            case
                when '{{ measure }}' = any(partly_held.held_measures) then previous.{{ measure }}
                else pulled.{{ measure }}
            end as {{ measure }},
        {% endfor -%}
        case
            when
                coalesce(goals.conversions, campaign_goals.conversions) && partly_held.held_measures
                then previous.conversions
            else pulled.conversions
        end as conversions,
        coalesce(pulled.pulled_at, previous.pulled_at) as pulled_at
    from pulled
    full join previous
        on pulled.natural_key = previous.natural_key and pulled.event_date = previous.event_date
    inner join partly_held
        on
            coalesce(pulled.account_id, previous.account_id) = partly_held.account_id
            and coalesce(pulled.event_date, previous.event_date) = partly_held.event_date
    left join goals on coalesce(pulled.adset_id, previous.adset_id) = goals.adset_id
    left join {{ ref('int_meta__campaign_goals') }} as campaign_goals
        on coalesce(pulled.campaign_id, previous.campaign_id) = campaign_goals.campaign_id
),

rows_to_keep as (
    select
        {{ identity | join(',\n        ') }},
        {{ measures | join(',\n        ') }},
        conversions,
        pulled_at
    from partly_new
    where num_nonnulls({{ measures | join(', ') }}, conversions) > 0
    union all
    select
        {{ identity | join(',\n        ') }},
        {{ measures | join(',\n        ') }},
        conversions,
        pulled_at
    from unioned
    where
        (account_id, event_date) not in (
            select
                partly_held.account_id,
                partly_held.event_date
            from partly_held
        )
)

select
    facts.natural_key,
    accounts.workspace_id,
    'meta' as provider,
    facts.account_id,
    'ad' as level,
    facts.ad_id as external_entity_id,
    {{ entity_uuid("'ad'", 'facts.ad_id') }} as entity_id,
    facts.campaign_id,
    facts.adset_id,
    facts.ad_id,
    facts.grain,
    facts.event_at,
    facts.event_date,
    facts.event_hour,
    facts.timezone,
    facts.currency,
    coalesce(goals.goal, campaign_goals.goal) as goal,
    facts.spend,
    facts.impressions,
    facts.clicks,
    facts.link_clicks,
    facts.purchases,
    facts.revenue,
    facts.leads,
    facts.conversions,
    agreed.is_settled,
    'insights' as source,
    facts.pulled_at
from rows_to_keep as facts
inner join accounts on facts.account_id = accounts.account_id
inner join agreed
    on facts.account_id = agreed.account_id and facts.event_date = agreed.event_date
left join goals on facts.adset_id = goals.adset_id
left join {{ ref('int_meta__campaign_goals') }} as campaign_goals
    on facts.campaign_id = campaign_goals.campaign_id

union all

-- Posted ones. Of an account-day that is pulled from Meta itself, its own pulls are the facts.
select
    posted.natural_key,
    posted.workspace_id,
    posted.provider,
    posted.account_id,
    posted.level,
    posted.external_entity_id,
    posted.entity_id,
    posted.campaign_id,
    posted.adset_id,
    posted.ad_id,
    posted.grain,
    posted.event_at,
    posted.event_date,
    posted.event_hour,
    posted.timezone,
    posted.currency,
    posted.goal,
    posted.spend,
    posted.impressions,
    posted.clicks,
    posted.link_clicks,
    posted.purchases,
    posted.revenue,
    posted.leads,
    posted.conversions,
    posted.is_settled,
    'ingest' as source,
    posted.received_at as pulled_at
from {{ ref('stg_ingest__facts') }} as posted
where
    {{ in_window('posted.event_date') }}
    and not (
        posted.provider = 'meta'
        and exists (
            select 1
            from {{ ref('stg_meta__slices') }} as slices
            where
                slices.account_id = posted.account_id
                and slices.event_date = posted.event_date
                and slices.asset in ('insights_hourly', 'insights_daily')
                and slices.pulled_at is not null
        )
    )
-- Rows of an account lie together: what reads one account's days, the rollups too, reads few pages.
order by account_id, event_date

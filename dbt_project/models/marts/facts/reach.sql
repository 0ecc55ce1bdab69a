{{ config(
    unique_key=['level', 'external_entity_id', 'period', 'event_date'],
    indexes=[
        {'columns': ['level', 'external_entity_id', 'period', 'event_date'], 'unique': true},
        {'columns': ['event_date', 'account_id']}
    ]
) }}

-- Asked for again whenever their last day is. The others are the trailing periods of a morning and
-- the month to date: asked for once.
{%- set is_fixed -%}
    (
        period = 'day'
        or (period in ('7d', '28d') and extract(isodow from period_end) = 7)
        or (period = 'month' and extract(day from period_end + 1) = 1)
    )
{%- endset %}

with pulled as (
    select *
    from {{ ref('stg_meta__insights_reach') }}
    where {{ in_window('event_date') }}
),

-- The control totals have the account's day where reach was not pulled by itself.
account_days as (
    select
        totals.*,
        coalesce(slices.pulled_at, totals.pulled_at) as last_pulled_at
    from {{ ref('stg_meta__account_totals') }} as totals
    left join {{ ref('stg_meta__slices') }} as slices
        on
            totals.account_id = slices.account_id
            and totals.event_date = slices.event_date
            and slices.asset = 'account_totals'
    where
        {{ in_window('totals.event_date') }}
        and not exists (
            select 1
            from pulled
            where
                pulled.level = 'account'
                and pulled.period = 'day'
                and pulled.account_id = totals.account_id
                and pulled.event_date = totals.event_date
        )
),

unioned as (
    select
        account_id,
        level,
        external_entity_id,
        period,
        period_start,
        period_end,
        event_date,
        timezone,
        currency,
        reach,
        frequency,
        unique_clicks,
        unique_link_clicks,
        impressions,
        clicks,
        spend,
        omitted,
        api_version,
        pulled_at,
        last_pulled_at
    from pulled
    union all
    select
        account_id,
        'account' as level,
        account_id as external_entity_id,
        'day' as period,
        event_date as period_start,
        event_date as period_end,
        event_date,
        timezone,
        currency,
        reach,
        frequency,
        null as unique_clicks,
        null as unique_link_clicks,
        impressions,
        clicks,
        spend,
        'unique counts: the control total has none' as omitted,
        api_version,
        pulled_at,
        last_pulled_at
    from account_days
    where reach is not null
)

select
    accounts.workspace_id,
    unioned.account_id,
    unioned.level,
    unioned.external_entity_id,
    {{ entity_uuid('unioned.level', 'unioned.external_entity_id') }} as entity_id,
    unioned.period,
    unioned.period_start,
    unioned.period_end,
    unioned.event_date,
    unioned.timezone,
    unioned.currency,
    unioned.reach,
    unioned.frequency,
    unioned.unique_clicks,
    unioned.unique_link_clicks,
    unioned.impressions,
    unioned.clicks,
    unioned.spend,
    unioned.omitted,
    {{ is_fixed }}
    and (unioned.last_pulled_at at time zone unioned.timezone)::date - unioned.period_end
    > {{ var('settled_after_days') }} as is_settled,
    unioned.api_version,
    unioned.pulled_at
from unioned
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on unioned.account_id = accounts.account_id

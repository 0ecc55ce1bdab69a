{{ config(
    unique_key=['event_date', 'ad_id', 'conversion'],
    on_schema_change='append_new_columns',
    indexes=[
        {'columns': ['event_date', 'ad_id', 'conversion'], 'unique': true},
        {'columns': ['account_id', 'event_date']}
    ],
    pre_hook='{{ hash_joins_only() }}',
    post_hook=['{{ settle_account_days() }}', '{{ analyze_after_bulk() }}'],
    meta={
        'kept_rows': "not exists ("
        ~ "select 1 from intermediate.int_meta__agreed_account_days as agreed "
        ~ "where agreed.account_id = old.account_id and agreed.event_date = old.event_date "
        ~ "and not old.conversion = any(agreed.held_measures))"
    }
) }}

-- Held back with the facts: an account-day that does not reconcile keeps its last good rows.
with agreed as materialized (
    select
        agreed.account_id,
        agreed.event_date,
        agreed.held_measures,
        agreed.is_settled
    from {{ ref('int_meta__agreed_account_days') }} as agreed
    where {{ in_window('agreed.event_date') }}
)

select
    accounts.workspace_id,
    daily.account_id,
    daily.campaign_id,
    daily.adset_id,
    daily.ad_id,
    daily.event_date,
    daily.timezone,
    daily.currency,
    conversions.conversion,
    case
        when conversions.conversion like 'custom:%' or conversions.conversion like 'custom\_value:%'
            then substring(conversions.conversion from ':(.+)$')
    end as custom_conversion_id,
    case
        when conversions.source_field in ('actions', 'conversions') then 'count' else 'amount'
    end as unit,
    conversions.action_type,
    conversions.value,
    {{ window_columns('conversions') }},
    conversions.types_present::integer as types_present,
    conversions.highest_value - conversions.lowest_value as disagreement,
    case
        when conversions.types_present = 1 then 'single'
        when conversions.highest_value > conversions.value then 'larger_elsewhere'
        when conversions.lowest_value < conversions.value then 'smaller_elsewhere'
        else 'equal'
    end as overlap,
    daily.attribution_setting,
    daily.api_version,
    agreed.is_settled,
    daily.pulled_at,
    coalesce(
        names.conversion_name,
        case
            when conversions.conversion like 'custom\_event%'
                then substring(conversions.conversion from ':(.+)$')
        end
    ) as conversion_name
from {{ ref('int_meta__conversions') }} as conversions
inner join {{ ref('stg_meta__insights_daily') }} as daily
    on
        conversions.event_date = daily.event_date
        and conversions.external_entity_id = daily.ad_id
left join {{ ref('stg_meta__custom_conversions') }} as names
    on substring(conversions.conversion from '^custom(?:_value)?:(.+)$') = names.custom_conversion_id
inner join agreed
    on daily.account_id = agreed.account_id and daily.event_date = agreed.event_date
inner join {{ ref('stg_meta__ad_accounts') }} as accounts on daily.account_id = accounts.account_id
where
    conversions.level = 'ad'
    and not conversions.conversion = any(agreed.held_measures)
    and {{ in_window('conversions.event_date') }}
    and {{ in_window('daily.event_date') }}

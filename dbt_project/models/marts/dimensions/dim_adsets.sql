{{ config(
    unique_key='adset_id',
    meta={'window_column': 'none'},
    indexes=[{'columns': ['adset_id'], 'unique': true}, {'columns': ['campaign_id']}]
) }}

select
    adsets.adset_id,
    {{ entity_uuid("'adset'", 'adsets.adset_id') }} as entity_id,
    accounts.workspace_id,
    adsets.account_id,
    adsets.campaign_id,
    adsets.adset_name as name,
    goals.goal,
    adsets.status,
    adsets.effective_status,
    adsets.is_deleted,
    adsets.missing_since,
    adsets.optimization_goal,
    adsets.custom_event_type,
    adsets.billing_event,
    adsets.bid_strategy,
    accounts.currency,
    {{ major_units('adsets.bid_amount_minor') }} as bid_amount,
    {{ limit_in_major_units('adsets.daily_budget_minor') }} as daily_budget,
    {{ limit_in_major_units('adsets.lifetime_budget_minor') }} as lifetime_budget,
    {{ major_units('adsets.budget_remaining_minor') }} as budget_remaining,
    adsets.destination_type,
    adsets.learning_status,
    adsets.learning_conversions,
    (adsets.targeting ->> 'age_min')::smallint as targeting_age_min,
    (adsets.targeting ->> 'age_max')::smallint as targeting_age_max,
    adsets.targeting #> '{geo_locations,countries}' as targeting_countries,
    adsets.targeting,
    adsets.promoted_object,
    adsets.attribution_spec,
    adsets.issues_count,
    adsets.starts_at,
    adsets.ends_at,
    adsets.created_at,
    adsets.updated_at,
    adsets.first_seen_at,
    adsets.changed_at
from {{ ref('stg_meta__adsets') }} as adsets
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on adsets.account_id = accounts.account_id
left join {{ ref('int_meta__adset_goals') }} as goals on adsets.adset_id = goals.adset_id
left join {{ ref('currency_offsets') }} as offsets on accounts.currency = offsets.currency

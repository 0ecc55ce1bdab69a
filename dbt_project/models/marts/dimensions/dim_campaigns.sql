{{ config(
    unique_key='campaign_id',
    meta={'window_column': 'none'},
    indexes=[{'columns': ['campaign_id'], 'unique': true}, {'columns': ['account_id']}]
) }}

select
    campaigns.campaign_id,
    {{ entity_uuid("'campaign'", 'campaigns.campaign_id') }} as entity_id,
    accounts.workspace_id,
    campaigns.account_id,
    campaigns.campaign_name as name,
    campaigns.objective,
    goals.goal,
    campaigns.status,
    campaigns.configured_status,
    campaigns.effective_status,
    campaigns.is_deleted,
    campaigns.missing_since,
    campaigns.buying_type,
    campaigns.bid_strategy,
    accounts.currency,
    {{ limit_in_major_units('campaigns.daily_budget_minor') }} as daily_budget,
    {{ limit_in_major_units('campaigns.lifetime_budget_minor') }} as lifetime_budget,
    {{ major_units('campaigns.budget_remaining_minor') }} as budget_remaining,
    {{ limit_in_major_units('campaigns.spend_cap_minor') }} as spend_cap,
    campaigns.special_ad_categories,
    campaigns.issues_count,
    campaigns.issue_summaries,
    campaigns.issues,
    campaigns.starts_at,
    campaigns.ends_at,
    campaigns.created_at,
    campaigns.updated_at,
    campaigns.first_seen_at,
    campaigns.changed_at
from {{ ref('stg_meta__campaigns') }} as campaigns
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on campaigns.account_id = accounts.account_id
left join {{ ref('int_meta__campaign_goals') }} as goals
    on campaigns.campaign_id = goals.campaign_id
left join {{ ref('currency_offsets') }} as offsets on accounts.currency = offsets.currency

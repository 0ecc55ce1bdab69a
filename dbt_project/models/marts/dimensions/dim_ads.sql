{{ config(
    unique_key='ad_id',
    meta={'window_column': 'none'},
    indexes=[{'columns': ['ad_id'], 'unique': true}, {'columns': ['adset_id']}]
) }}

select
    ads.ad_id,
    {{ entity_uuid("'ad'", 'ads.ad_id') }} as entity_id,
    accounts.workspace_id,
    ads.account_id,
    ads.campaign_id,
    ads.adset_id,
    ads.creative_id,
    ads.ad_name as name,
    ads.conversion_domain,
    coalesce(goals.goal, campaign_goals.goal) as goal,
    ads.status,
    ads.configured_status,
    ads.effective_status,
    ads.is_deleted,
    ads.missing_since,
    ads.review_reasons,
    ads.review_feedback,
    ads.issues_count,
    ads.issue_summaries,
    ads.issues,
    ads.created_at,
    ads.updated_at,
    ads.first_seen_at,
    ads.changed_at
from {{ ref('stg_meta__ads') }} as ads
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on ads.account_id = accounts.account_id
left join {{ ref('int_meta__adset_goals') }} as goals on ads.adset_id = goals.adset_id
left join {{ ref('int_meta__campaign_goals') }} as campaign_goals
    on ads.campaign_id = campaign_goals.campaign_id

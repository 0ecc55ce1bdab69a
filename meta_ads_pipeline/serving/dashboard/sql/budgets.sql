select
    'campaign' as level,
    campaign_id as external_entity_id,
    name,
    daily_budget
from marts.dim_campaigns
where
    workspace_id = %(workspace)s and account_id = any(%(accounts)s)
    and effective_status = 'ACTIVE' and daily_budget > 0
union all
select
    'adset' as level,
    adset_id as external_entity_id,
    name,
    daily_budget
from marts.dim_adsets
where
    workspace_id = %(workspace)s and account_id = any(%(accounts)s)
    and effective_status = 'ACTIVE' and daily_budget > 0

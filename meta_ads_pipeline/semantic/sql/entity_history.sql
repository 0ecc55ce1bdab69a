select
    level,
    external_entity_id,
    valid_from,
    valid_to,
    name,
    status,
    effective_status,
    objective,
    optimization_goal,
    daily_budget,
    lifetime_budget,
    bid_amount,
    creative_id,
    changed_fields
from marts.entity_history
where
    account_id in (
        select account_id from control.ad_accounts
        where workspace_id = %(workspace)s
    )
    and external_entity_id = %(entity)s
order by valid_from desc
limit %(limit)s offset %(skip)s

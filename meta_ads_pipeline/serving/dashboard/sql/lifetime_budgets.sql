-- `is not null` first: it reaches into the view, which else adds up the spend of every budget.
select
    level,
    external_entity_id,
    name,
    lifetime_budget,
    spend_to_date,
    share_of_lifetime_budget,
    share_of_schedule,
    ends_at
from serving.budget_pacing
where
    workspace_id = %(workspace)s
    and account_id = any(%(accounts)s)
    and event_date = %(day)s
    and lifetime_budget is not null
    and lifetime_budget > 0
    and effective_status = 'ACTIVE'
order by share_of_lifetime_budget desc nulls last, name asc

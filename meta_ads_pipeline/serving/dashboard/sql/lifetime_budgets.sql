select
    '{{ level }}' as level,
    budgets.{{ level }}_id as external_entity_id,
    budgets.name,
    budgets.lifetime_budget,
    budgets.ends_at,
    budgets.account_id,
    coalesce(budgets.starts_at, budgets.created_at) as starts_at,
    spent.spend,
    spent.spend / budgets.lifetime_budget as share,
    case
        when budgets.ends_at is not null
            then least(1, greatest(0, extract(epoch from least(
                control.current_instant(), (%(day)s + 1)::timestamp at time zone accounts.timezone
            ) - coalesce(budgets.starts_at, budgets.created_at))
            / nullif(extract(
                epoch from budgets.ends_at - coalesce(budgets.starts_at, budgets.created_at)
            ), 0)))
    end as share_of_time
from marts.dim_{{ level }}s as budgets
inner join marts.dim_ad_accounts as accounts on budgets.account_id = accounts.account_id
cross join
    lateral (
        select sum(days.spend) as spend
        from marts.{{ level }}_daily as days
        where
            days.provider = 'meta' and days.account_id = budgets.account_id
            and days.{{ level }}_id = budgets.{{ level }}_id and days.event_date <= %(day)s
    ) as spent
where
    budgets.workspace_id = %(workspace)s and budgets.account_id = any(%(accounts)s)
    and budgets.effective_status = 'ACTIVE' and budgets.lifetime_budget > 0

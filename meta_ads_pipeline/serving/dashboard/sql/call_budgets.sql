-- Of each ad account the limit that is used up most.
select distinct on (a.name, b.account_id)
    b.account_id,
    a.name,
    b.use_case,
    b.percent,
    b.tier,
    b.read_at,
    b.blocked_until
from control.call_budgets as b
inner join control.ad_accounts as a on b.account_id = a.account_id
where a.workspace_id = %(workspace)s and b.percent is not null
order by a.name asc, b.account_id asc, b.percent desc, b.use_case asc
limit 200

with latest as (
    select distinct on (entity_id)
        entity_id,
        document ->> 'daily_budget' as daily_budget,
        document ->> 'lifetime_budget' as lifetime_budget
    from raw.entity_versions
    where level || 's' = %(asset)s and account_id = any(%(accounts)s)
    order by entity_id asc, valid_from desc
),

budgets as (
    select
        landed.account_id,
        count(*) as documents
    from raw.{{ table }} as landed
    inner join latest on landed.id = latest.entity_id
    where
        landed.account_id = any(%(accounts)s)
        and (latest.daily_budget, latest.lifetime_budget)
        is distinct from
        (landed.document ->> 'daily_budget', landed.document ->> 'lifetime_budget')
    group by landed.account_id
),

reads as (
    select
        account_id,
        max(pulled_at) as last_read_at
    from control.slices
    where asset = %(asset)s and account_id = any(%(accounts)s)
    group by account_id
)

select
    accounts.account_id,
    null::date as event_date,
    'read within the last 24 hours' as rule,
    false as is_warning,
    1 as violations,
    coalesce('last read at ' || reads.last_read_at, 'never read') as observed
from unnest(%(accounts)s::text[]) as accounts (account_id)
left join reads on accounts.account_id = reads.account_id
where coalesce(reads.last_read_at <= %(started_at)s - interval '24 hours', true)
union all
select
    account_id,
    null::date as event_date,
    'every budget is the one that the history says last' as rule,
    false as is_warning,
    documents as violations,
    documents || ' documents with another budget' as observed
from budgets

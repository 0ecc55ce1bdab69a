-- What landing cannot know of a row: whether its money fits its currency. Structure (ids, signs,
-- lists, hours) is judged at landing, by raw/schemas.py; what it refused is counted here.
with money as (
    select
        account_id,
        event_date,
        count(*) filter (where spend <> round(spend, 2)) as inexact,
        min(spend) filter (where spend <> round(spend, 2)) as inexact_example,
        count(*) filter (
            where spend <> trunc(spend) and currency = any(%(whole_currencies)s)
        ) as fractions,
        min(spend) filter (
            where spend <> trunc(spend) and currency = any(%(whole_currencies)s)
        ) as fraction_example
    from raw.{{ table }}
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
    group by account_id, event_date
)

select
    account_id,
    event_date,
    'spend has at most two decimals: more are the trace of a binary float' as rule,
    false as is_warning,
    inexact as violations,
    'spend ' || inexact_example as observed
from money
where inexact > 0
union all
select
    account_id,
    event_date,
    'spend is whole in a currency without decimals' as rule,
    false as is_warning,
    fractions as violations,
    'spend ' || fraction_example as observed
from money
where fractions > 0
union all
select
    account_id,
    partition_date as event_date,
    'every row of the pull could be used' as rule,
    true as is_warning,
    rows_dead_lettered as violations,
    rows_dead_lettered || ' dead letters: see `meta-ads dead-letters`' as observed
from control.slices
where
    asset = %(asset)s
    and rows_dead_lettered > 0
    and account_id = any(%(accounts)s)
    and partition_date between %(start)s and %(end)s

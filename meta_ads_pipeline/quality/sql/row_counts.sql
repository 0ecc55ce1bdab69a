with held as (
    select
        account_id,
        event_date,
        count(*) as rows
    from raw.{{ table }}
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
    group by account_id, event_date
),

written as (
    select
        slices.account_id,
        slices.partition_date as event_date,
        slices.rows_inserted + slices.rows_updated + slices.rows_unchanged as rows,
        -- A replayed dead letter adds its row to the slice after the load.
        (
            select count(*)
            from control.dead_letters as letters
            where
                letters.account_id = slices.account_id
                and letters.asset = slices.asset
                and letters.status = 'replayed'
                and letters.resolved_at >= slices.finished_at
        ) as replayed
    from control.slices as slices
    where
        slices.asset = %(asset)s
        and slices.status in ('done', 'mismatched')
        and slices.rows_inserted is not null
        and slices.account_id = any(%(accounts)s)
        and slices.partition_date between %(start)s and %(end)s
)

select
    account_id,
    event_date,
    'the slice holds as many rows as its load wrote' as rule,
    false as is_warning,
    1 as violations,
    'rows_written ' || written.rows || ', rows_there ' || coalesce(held.rows, 0) as observed
from written
left join held using (account_id, event_date)
where coalesce(held.rows, 0) not between written.rows and written.rows + written.replayed

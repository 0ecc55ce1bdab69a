delete from {{ table }} as t
using slice_difference as d
where
    d.change = 'deleted'
    and ({{ t_key }}) = ({{ d_key }})
    -- The account and the dates again, as values: they let Postgres skip other months.
    and t.account_id = %(account)s
    and t.event_date = any(%(dates)s)

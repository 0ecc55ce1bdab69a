-- Rows of objects that Meta refused have not vanished: what is stored of them stays. ``left_out``
-- are ids of campaigns, ad sets or ads, which no two objects share.
delete from slice_difference as d
using {{ table }} as t
where
    d.change = 'deleted'
    and ({{ t_key }}) = ({{ d_key }})
    and t.account_id = %(account)s
    and t.event_date = any(%(dates)s)
    and array[{{ t_objects }}]::text[] && %(left_out)s::text[]

update {{ table }} as t
set
    ({{ values }}, timezone, currency, api_version, pulled_at)
    = ({{ i_values }}, %(timezone)s, %(currency)s, %(api_version)s, %(pulled_at)s)
from slice_difference as d
inner join incoming_rows as i using ({{ key }})
where
    d.change = 'updated'
    and ({{ t_key }}) = ({{ d_key }})
    -- The account and the dates again, as values: they let Postgres skip other months.
    and t.account_id = %(account)s
    and t.event_date = any(%(dates)s)

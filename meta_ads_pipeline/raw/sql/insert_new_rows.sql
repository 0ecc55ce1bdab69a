insert into {{ table }} ({{ columns }}, account_id, timezone, currency, api_version, pulled_at)
select
    {{ i_columns }},
    %(account)s,
    %(timezone)s,
    %(currency)s,
    %(api_version)s,
    %(pulled_at)s
from incoming_rows as i
inner join slice_difference as d using ({{ key }})
where d.change = 'inserted'

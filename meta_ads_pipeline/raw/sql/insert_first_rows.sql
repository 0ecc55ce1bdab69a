-- A first load: everything is new.
insert into {{ table }} ({{ columns }}, account_id, timezone, currency, api_version, pulled_at)
select
    {{ columns }},
    %(account)s,
    %(timezone)s,
    %(currency)s,
    %(api_version)s,
    %(pulled_at)s
from incoming_rows

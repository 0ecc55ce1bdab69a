select
    account_id,
    timezone,
    valid_from,
    lead(valid_from) over (partition by account_id order by valid_from) as valid_to
from {{ source('control', 'account_timezones') }}

select
    landed.account_id,
    null::date as event_date,
    broken.rule,
    false as is_warning,
    1 as violations,
    'timezone ' || landed.timezone || ', currency ' || landed.currency as observed
from raw.ad_accounts as landed
inner join control.ad_accounts as synced on landed.account_id = synced.account_id
cross join
    lateral (
        values
        (control.is_timezone(landed.timezone), 'timezone is an IANA name'),
        (landed.currency ~ '^[A-Z]{3}$', 'currency is an ISO 4217 code'),
        (landed.timezone = synced.timezone, 'timezone is the one that syncs use'),
        (landed.currency = synced.currency, 'currency is the one that syncs use')
    ) as broken (is_so, rule)
where landed.account_id = any(%(accounts)s) and not broken.is_so

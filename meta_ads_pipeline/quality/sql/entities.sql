select
    landed.account_id,
    null::date as event_date,
    broken.rule,
    broken.is_warning,
    count(*) as violations,
    min(landed.id || ': ' || broken.value) as observed
from raw.{{ table }} as landed
cross join
    lateral (
        values
        (
            landed.status is null or landed.status = any(%(statuses)s),
            'status is a known one',
            true,
            landed.status
        ),
        (
            landed.effective_status is null
            or landed.effective_status = any(%(effective_statuses)s),
            'effective_status is a known one',
            true,
            landed.effective_status
        ),
        (
            landed.first_seen_at <= landed.changed_at and landed.changed_at <= landed.pulled_at,
            'it was first seen, then changed, then pulled',
            false,
            'changed_at ' || landed.changed_at
        )
    ) as broken (is_so, rule, is_warning, value)
where landed.account_id = any(%(accounts)s) and not broken.is_so
group by landed.account_id, broken.rule, broken.is_warning

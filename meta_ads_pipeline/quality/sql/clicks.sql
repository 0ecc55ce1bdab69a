-- Not a rule: link clicks within clicks. Meta counts them apart, and real accounts have ad-days
-- with more link clicks than clicks.
select
    account_id,
    event_date,
    'clicks are not above impressions' as rule,
    true as is_warning,
    count(*) as violations,
    'clicks ' || max(clicks) as observed
from raw.{{ table }}
where
    account_id = any(%(accounts)s)
    and event_date between %(start)s and %(end)s
    and clicks > coalesce(impressions, 0)
group by account_id, event_date

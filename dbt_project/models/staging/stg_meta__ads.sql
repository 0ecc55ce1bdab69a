select
    id as ad_id,
    account_id,
    campaign_id,
    adset_id,
    creative_id,
    name as ad_name,
    status,
    effective_status,
    document -> 'ad_review_feedback' as review_feedback,
    coalesce(jsonb_array_length(document -> 'issues_info'), 0) as issues_count,
    (document ->> 'created_time')::timestamptz as created_at,
    (document ->> 'updated_time')::timestamptz as updated_at,
    is_deleted,
    missing_since,
    first_seen_at,
    changed_at
from {{ source('raw', 'ads') }}

select
    id as creative_id,
    account_id,
    name as creative_name,
    status,
    effective_status,
    object_type,
    document ->> 'title' as title,
    document ->> 'body' as body,
    document ->> 'call_to_action_type' as call_to_action_type,
    coalesce(
        document ->> 'link_url',
        document #>> '{object_story_spec,link_data,link}',
        document #>> '{object_story_spec,video_data,call_to_action,value,link}'
    ) as link_url,
    document ->> 'url_tags' as url_tags,
    document ->> 'image_hash' as image_hash,
    document ->> 'video_id' as video_id,
    document ->> 'effective_object_story_id' as effective_object_story_id,
    is_deleted,
    missing_since,
    first_seen_at,
    changed_at
from {{ source('raw', 'creatives') }}

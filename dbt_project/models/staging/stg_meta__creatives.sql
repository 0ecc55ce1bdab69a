select
    id as creative_id,
    account_id,
    name as creative_name,
    status,
    effective_status,
    object_type,
    case
        when {{ document_value('asset_feed_spec', 'object') }} <> '{}' then 'dynamic'
        when
            {{ document_value('object_story_spec,link_data,child_attachments', 'list') }} is not null
            then 'carousel'
        when {{ document_value('object_story_spec,template_data', 'object') }} is not null
            then 'catalog'
        when
            {{ first_text('document', ['video_id', 'object_story_spec,video_data,video_id']) }}
            is not null then 'video'
        when
            {{ first_text('document', [
                'image_hash',
                'image_url',
                'object_story_spec,link_data,image_hash',
                'object_story_spec,photo_data,image_hash',
            ]) }} is not null then 'image'
    end as media_type,
    {{ first_text('document', [
        'title',
        'object_story_spec,link_data,name',
        'object_story_spec,video_data,title',
        'object_story_spec,template_data,name',
        'asset_feed_spec,titles,0,text',
    ]) }} as title,
    {{ first_text('document', [
        'body',
        'object_story_spec,link_data,message',
        'object_story_spec,video_data,message',
        'object_story_spec,photo_data,caption',
        'object_story_spec,template_data,message',
        'asset_feed_spec,bodies,0,text',
    ]) }} as body,
    {{ first_text('document', [
        'object_story_spec,link_data,description',
        'object_story_spec,video_data,link_description',
        'object_story_spec,template_data,description',
        'asset_feed_spec,descriptions,0,text',
    ]) }} as description,
    {{ json_texts('document', [
        '$.title',
        '$.object_story_spec.*.name',
        '$.object_story_spec.*.title',
        '$.object_story_spec.link_data.child_attachments[*].name',
        '$.asset_feed_spec.titles[*].text',
    ]) }} as titles,
    {{ json_texts('document', [
        '$.body',
        '$.object_story_spec.*.message',
        '$.asset_feed_spec.bodies[*].text',
    ]) }} as bodies,
    {{ first_text('document', [
        'call_to_action_type',
        'object_story_spec,link_data,call_to_action,type',
        'object_story_spec,video_data,call_to_action,type',
        'object_story_spec,template_data,call_to_action,type',
        'asset_feed_spec,call_to_action_types,0',
    ]) }} as call_to_action_type,
    {{ first_text('document', [
        'link_url',
        'object_story_spec,link_data,link',
        'object_story_spec,video_data,call_to_action,value,link',
        'object_story_spec,template_data,link',
        'asset_feed_spec,link_urls,0,website_url',
    ]) }} as link_url,
    {{ document_column('creative', 'url_tags') }} as url_tags,
    {{ first_text('document', [
        'image_hash',
        'object_story_spec,link_data,image_hash',
        'object_story_spec,video_data,image_hash',
        'object_story_spec,photo_data,image_hash',
        'asset_feed_spec,images,0,hash',
    ]) }} as image_hash,
    {{ json_texts('document', [
        '$.image_hash',
        '$.object_story_spec.*.image_hash',
        '$.object_story_spec.link_data.child_attachments[*].image_hash',
        '$.asset_feed_spec.images[*].hash',
    ]) }} as image_hashes,
    {{ first_text('document', [
        'video_id',
        'object_story_spec,video_data,video_id',
        'asset_feed_spec,videos,0,video_id',
    ]) }} as video_id,
    {{ json_texts('document', [
        '$.video_id',
        '$.object_story_spec.video_data.video_id',
        '$.object_story_spec.link_data.child_attachments[*].video_id',
        '$.asset_feed_spec.videos[*].video_id',
    ]) }} as video_ids,
    {{ first_text('document', [
        'object_story_spec,page_id',
    ]) }} as page_id,
    {{ first_text('document', [
        'instagram_user_id',
        'object_story_spec,instagram_user_id',
    ]) }} as instagram_user_id,
    {{ document_column('creative', 'instagram_permalink_url') }} as instagram_permalink_url,
    {{ document_column('creative', 'effective_object_story_id') }} as effective_object_story_id,
    is_deleted,
    missing_since,
    first_seen_at,
    changed_at
from {{ source('raw', 'creatives') }}

{{ config(
    unique_key='creative_id',
    pre_hook="{{ forget_rows_of_other_code('staging.stg_meta__creatives') }}",
    post_hook="{{ remember_code('staging.stg_meta__creatives') }}",
    meta={
        'window_column': 'none',
        'kept_rows': "exists ("
        ~ "select 1 from raw.creatives as landed "
        ~ "inner join control.ad_accounts as accounts on landed.account_id = accounts.account_id "
        ~ "where landed.id = old.creative_id and " ~ is_same_creative('landed', 'accounts', 'old')
        ~ ")"
    },
    indexes=[{'columns': ['creative_id'], 'unique': true}]
) }}

-- Documents are large and most never change: only creatives that a pull has changed are read.

select
    creatives.creative_id,
    {{ entity_uuid("'creative'", 'creatives.creative_id') }} as entity_id,
    accounts.workspace_id,
    creatives.account_id,
    creatives.creative_name as name,
    creatives.status,
    creatives.effective_status,
    creatives.is_deleted,
    creatives.missing_since,
    creatives.object_type,
    creatives.media_type,
    creatives.title,
    creatives.body,
    creatives.description,
    creatives.titles,
    creatives.bodies,
    creatives.call_to_action_type,
    creatives.link_url,
    creatives.url_tags,
    {{ destination_url('creatives.link_url', 'creatives.url_tags') }} as destination_url,
    {{ domain('creatives.link_url') }} as destination_domain,
    {% for name in ['source', 'medium', 'campaign', 'content', 'term'] -%}
        {{ utm(name, 'creatives.url_tags', 'creatives.link_url') }} as utm_{{ name }},
    {% endfor -%}
    creatives.image_hash,
    creatives.image_hashes,
    creatives.video_id,
    creatives.video_ids,
    creatives.page_id,
    creatives.instagram_user_id,
    creatives.instagram_permalink_url,
    creatives.effective_object_story_id,
    creatives.first_seen_at,
    creatives.changed_at
from {{ ref('stg_meta__creatives') }} as creatives
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on creatives.account_id = accounts.account_id
{% if is_incremental() -%}
    left join {{ this }} as known on creatives.creative_id = known.creative_id
    where
        known.creative_id is null
        or not ({{ is_same_creative('creatives', 'accounts', 'known') }})
{%- endif %}

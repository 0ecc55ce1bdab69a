{{ config(
    unique_key='entity_id',
    meta={'window_column': 'none'},
    indexes=[
        {'columns': ['entity_id'], 'unique': true},
        {'columns': ['level', 'external_entity_id'], 'unique': true},
        {'columns': ['parent_id']}
    ]
) }}

{%- set levels = [
    ('account', 'dim_ad_accounts', 'account_id', none, none),
    ('campaign', 'dim_campaigns', 'campaign_id', 'account', 'account_id'),
    ('adset', 'dim_adsets', 'adset_id', 'campaign', 'campaign_id'),
    ('ad', 'dim_ads', 'ad_id', 'adset', 'adset_id'),
    ('creative', 'dim_creatives', 'creative_id', 'account', 'account_id'),
] %}

{% for level, dimension, id, parent_level, parent in levels %}
    select
        entity_id,
        workspace_id,
        'meta' as provider,
        account_id,
        '{{ level }}' as level,
        {{ id }} as external_entity_id,
        {% if parent %}
            {{ entity_uuid("'" ~ parent_level ~ "'", parent) }} as parent_id,
            {{ parent }} as parent_external_id,
        {% else %}
            null::uuid as parent_id,
            null::text as parent_external_id,
        {% endif %}
        name,
        {{ 'status' if parent else 'effective_status as status' }},
        effective_status,
        {{ 'goal' if level in ('campaign', 'adset', 'ad') else 'null::text as goal' }},
        {{ 'is_deleted' if parent else 'false as is_deleted' }},
        first_seen_at,
        changed_at
    from {{ ref(dimension) }}
    {{ 'union all' if not loop.last }}
{% endfor %}

{#- What staging reads of Meta's documents, by level: column, kind, path (of `#>`). The kinds are those
    of control.document_value: a value that is not of its kind is null in its column, and a row of
    marts.unusable_values. -#}
{% macro document_fields() -%}
    {%- set issues = [('issues', 'list', 'issues_info')] -%}
    {%- set life = [
        ('created_at', 'instant', 'created_time'),
        ('updated_at', 'instant', 'updated_time'),
    ] -%}
    {%- set budgets = [
        ('daily_budget_minor', 'number', 'daily_budget'),
        ('lifetime_budget_minor', 'number', 'lifetime_budget'),
        ('budget_remaining_minor', 'number', 'budget_remaining'),
    ] -%}
    {{ return({
        'account': [
            ('disable_reason', 'smallint', 'disable_reason'),
            ('business_name', 'text', 'business,name'),
            ('amount_spent_minor', 'number', 'amount_spent'),
            ('balance_minor', 'number', 'balance'),
            ('spend_cap_minor', 'number', 'spend_cap'),
            ('created_at', 'instant', 'created_time'),
            (none, 'object', 'business'),
        ],
        'campaign': budgets + issues + life + [
            ('configured_status', 'text', 'configured_status'),
            ('buying_type', 'text', 'buying_type'),
            ('bid_strategy', 'text', 'bid_strategy'),
            ('spend_cap_minor', 'number', 'spend_cap'),
            ('special_ad_categories', 'list', 'special_ad_categories'),
            ('starts_at', 'instant', 'start_time'),
            ('ends_at', 'instant', 'stop_time'),
        ],
        'adset': budgets + issues + life + [
            ('configured_status', 'text', 'configured_status'),
            ('optimization_goal', 'text', 'optimization_goal'),
            ('billing_event', 'text', 'billing_event'),
            ('bid_strategy', 'text', 'bid_strategy'),
            ('bid_amount_minor', 'number', 'bid_amount'),
            ('destination_type', 'text', 'destination_type'),
            ('custom_event_type', 'text', 'promoted_object,custom_event_type'),
            ('custom_event_name', 'text', 'promoted_object,custom_event_str'),
            ('promoted_object', 'object', 'promoted_object'),
            ('promoted_pixel_id', 'text', 'promoted_object,pixel_id'),
            ('promoted_page_id', 'text', 'promoted_object,page_id'),
            ('promoted_application_id', 'text', 'promoted_object,application_id'),
            ('promoted_custom_conversion_id', 'text', 'promoted_object,custom_conversion_id'),
            ('promoted_product_set_id', 'text', 'promoted_object,product_set_id'),
            ('promoted_object_store_url', 'text', 'promoted_object,object_store_url'),
            ('attribution_spec', 'list', 'attribution_spec'),
            ('targeting', 'object', 'targeting'),
            ('targeting_age_min', 'smallint', 'targeting,age_min'),
            ('targeting_age_max', 'smallint', 'targeting,age_max'),
            (none, 'list', 'targeting,genders'),
            (none, 'object', 'targeting,geo_locations'),
            (none, 'object', 'targeting,targeting_automation'),
            ('targeting_advantage_audience', 'flag', 'targeting,targeting_automation,advantage_audience'),
            (none, 'object', 'learning_stage_info'),
            ('learning_status', 'text', 'learning_stage_info,status'),
            ('learning_conversions', 'number', 'learning_stage_info,conversions'),
            ('learning_last_edit_at', 'instant', 'learning_stage_info,last_sig_edit_ts'),
            ('starts_at', 'instant', 'start_time'),
            ('ends_at', 'instant', 'end_time'),
            ('bid_constraints', 'object', 'bid_constraints'),
            ('roas_average_floor', 'number', 'bid_constraints,roas_average_floor'),
        ],
        'ad': issues + life + [
            ('configured_status', 'text', 'configured_status'),
            ('review_feedback', 'object', 'ad_review_feedback'),
            ('conversion_domain', 'text', 'conversion_domain'),
        ],
        'creative': [
            ('url_tags', 'text', 'url_tags'),
            ('instagram_permalink_url', 'text', 'instagram_permalink_url'),
            ('effective_object_story_id', 'text', 'effective_object_story_id'),
            (none, 'object', 'asset_feed_spec'),
            (none, 'object', 'object_story_spec'),
            (none, 'text', 'title'),
            (none, 'text', 'body'),
            (none, 'text', 'link_url'),
            (none, 'text', 'image_hash'),
            (none, 'text', 'image_url'),
            (none, 'text', 'video_id'),
            (none, 'text', 'call_to_action_type'),
        ],
    }) }}
{%- endmacro %}

{#- A column of `document_fields` as an expression. -#}
{% macro document_column(level, column, document='document') -%}
    {%- for name, kind, path in document_fields()[level] if name == column -%}
        {{ document_value(path, kind, document) }}
    {%- else -%}
        {{ exceptions.raise_compiler_error('document_fields of ' ~ level ~ ' has no ' ~ column) }}
    {%- endfor -%}
{%- endmacro %}

{#- A value of a document, read as its kind; null where it is none. The epoch is Meta's word for no
    time at all ("0", 1969-12-31T16:00:00-0800). -#}
{% macro document_value(path, kind, document='document') -%}
    {%- set value = document ~ " #> '{" ~ path ~ "}'" -%}
    {%- if kind in ('list', 'object') -%}
        control.json_{{ kind }}({{ value }})
    {%- elif kind == 'text' -%}
        control.json_text({{ value }})
    {%- elif kind == 'instant' -%}
        nullif(control.to_instant(control.json_text({{ value }})), 'epoch'::timestamptz)
    {%- else -%}
        control.to_{{ kind }}(control.json_text({{ value }}))
    {%- endif -%}
{%- endmacro %}

{#- The fields as rows of SQL: level, path, kind. -#}
{% macro document_field_rows() -%}
    {%- for level, columns in document_fields().items() -%}
        {%- set outer = loop -%}
        {%- for column, kind, path in columns -%}
            ('{{ level }}', '{{ path }}', '{{ kind }}')
            {{- ',\n        ' if not (loop.last and outer.last) }}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

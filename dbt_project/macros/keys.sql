{#- The uuid of an entity: the same in every run, every model and every database. -#}
{% macro entity_uuid(level, external_id, provider="'meta'") -%}
    md5({{ provider }} || ':' || {{ level }} || ':' || {{ external_id }})::uuid
{%- endmacro %}

{#- The natural key of an hour's row: the entity and the hour's start in UTC, ISO 8601. -#}
{% macro hour_key(external_id, event_at) -%}
    {{ external_id }} || '-' || to_char({{ event_at }} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
{%- endmacro %}

{#- The natural key of a day's row. -#}
{% macro day_key(external_id, event_date) -%}
    {{ external_id }} || '-' || to_char({{ event_date }}, 'YYYY-MM-DD')
{%- endmacro %}

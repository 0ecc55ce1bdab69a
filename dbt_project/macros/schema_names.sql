{#- Schemas are named as they are configured, without the target's schema in front: one database
    holds one warehouse, and analysts write marts.metric_facts. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}

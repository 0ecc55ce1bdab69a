{#- What a person calls a measure: CTR, CPC and CPM in capitals, the others as the columns. -#}
{% macro measure_label(measure) -%}
    case when {{ measure }} in ('ctr', 'cpc', 'cpm') then upper({{ measure }}) else {{ measure }} end
{%- endmacro %}

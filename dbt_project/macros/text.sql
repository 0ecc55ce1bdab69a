{#- Names as SQL text literals, comma-separated. -#}
{% macro text_list(names) -%}
    {%- for name in names -%}
        '{{ name }}'{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

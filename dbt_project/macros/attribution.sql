{#- The attribution windows that a day's conversions may be pulled in, as Meta names them: the one
    list of the project, the same as LIVE_WINDOWS of meta_ads_pipeline/attribution.py. -#}
{% macro attribution_window_names() -%}
    {{ return(['1d_click', '7d_click', '28d_click', '1d_view', '1d_ev']) }}
{%- endmacro %}

{#- The columns with a conversion's value in each window: value_7d_click, ... -#}
{% macro window_columns(relation) -%}
    {%- for window in attribution_window_names() -%}
        {{ relation }}.value_{{ window }}{{ ',\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- The same, summed over the action objects `item` of one type. Meta leaves a window of 0 out, so
    an absent one is 0 where `asked` (an array) has it, and unknown where it has not. -#}
{% macro summed_windows(item, asked) -%}
    {%- for window in attribution_window_names() -%}
        coalesce(
            sum({{ item }}."{{ window }}"), case when '{{ window }}' = any({{ asked }}) then 0 end
        ) as value_{{ window }}{{ ',\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

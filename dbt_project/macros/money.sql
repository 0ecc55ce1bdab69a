{#- An amount in Meta's minor units as exact major units. `offsets` is currency_offsets, left joined:
    a currency that it does not list has 100 minor units. -#}
{% macro major_units(minor, offsets='offsets') -%}
    {{ minor }} / coalesce({{ offsets }}.minor_units, 100)
{%- endmacro %}

{#- A limit (budget, cap) in major units. Meta writes "0" where there is none. -#}
{% macro limit_in_major_units(minor, offsets='offsets') -%}
    {{ major_units('nullif(' ~ minor ~ ', 0)', offsets) }}
{%- endmacro %}

{#- Text as a number; null where it is none. -#}
{% macro number_or_null(text_value) -%}
    case when {{ text_value }} ~ '^-?[0-9]+(\.[0-9]+)?$' then {{ text_value }}::numeric end
{%- endmacro %}

{#- An amount in Meta's minor units as exact major units, with the currency's decimals (40.00) and more
    only where a fraction of a minor unit was given. `offsets` is currency_offsets, left joined: a
    currency that it does not list has 100 minor units. -#}
{% macro major_units(minor, offsets='offsets') -%}
    round(
        {{ minor }} / coalesce({{ offsets }}.minor_units, 100),
        scale(trim_scale({{ minor }})) + case {{ offsets }}.minor_units when 1 then 0 else 2 end
    )
{%- endmacro %}

{#- A limit (budget, cap) in major units. Meta writes "0" where there is none, and as a campaign's
    spend cap 922337203685478. -#}
{% macro limit_in_major_units(minor, offsets='offsets') -%}
    {{ major_units('nullif(nullif(' ~ minor ~ ', 0), 922337203685478)', offsets) }}
{%- endmacro %}

{#- Text as a number; null where it is none. -#}
{% macro number_or_null(text_value) -%}
    control.to_number({{ text_value }})
{%- endmacro %}

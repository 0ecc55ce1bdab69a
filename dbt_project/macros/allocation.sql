{#- An hour's part of a day's value, by the weights of metric_facts_allocated: the running total up to
    and with the hour less the one before it, each rounded. All of it where the day has no hour. -#}
{% macro allocated(value) -%}
    case
        when hours = 0 then {{ value }}
        else
            {{ running_part(value, 'running_weight') }}
            - {{ running_part(value, '(running_weight - weight)') }}
    end
{%- endmacro %}

{% macro running_part(value, weight) -%}
    round(
        {{ value }} * {{ weight }} / total_weight,
        greatest(scale({{ value }}), {{ var('allocated_scale') }})
    )
{%- endmacro %}

{#- When the youngest of the levels' names began to be known. -#}
{% macro range_starts(levels) -%}
    greatest(
        {%- for level in levels -%}
            coalesce({{ level }}_then.valid_from, 'infinity'){{ ', ' if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}

{#- The distinct texts that SQL/JSON paths find in a document, sorted, as text[]; null where there
    are none. Sorted, because Meta's order of a set is not stable. -#}
{% macro json_texts(document, paths) -%}
    (
        select array_agg(distinct found.item order by found.item)
        from
            jsonb_array_elements_text(
                {% for path in paths -%}
                    jsonb_path_query_array({{ document }}, '{{ path }}')
                    {{- ' || ' if not loop.last }}
                {% endfor -%}
            ) as found (item)
    )
{%- endmacro %}

{#- The first of a document's texts that is there and not empty. Paths as of `#>>`. -#}
{% macro first_text(document, paths) -%}
    coalesce(
        {% for path in paths -%}
            nullif({{ document }} #>> '{{ '{' ~ path ~ '}' }}', '')
            {{- ',' if not loop.last }}
        {% endfor -%}
    )
{%- endmacro %}

{#- The genders that an ad set targets, in words; null where it names none, which is all. -#}
{% macro gender_names(document) -%}
    (
        select array_agg(
            case gender.code when '1' then 'male' when '2' then 'female' else gender.code end
            order by gender.code
        )
        from
            jsonb_array_elements_text({{ document }} #> '{targeting,genders}') as gender (code)
    )
{%- endmacro %}

{#- An ad set's attribution_spec in the words of insights, 7d_click, in Meta's order. -#}
{% macro attribution_windows(document) -%}
    (
        select array_agg(
            spec.item ->> 'window_days' || case spec.item ->> 'event_type'
                when 'CLICK_THROUGH' then 'd_click'
                when 'VIEW_THROUGH' then 'd_view'
                when 'ENGAGED_VIDEO_VIEW' then 'd_ev'
                else 'd_' || lower(spec.item ->> 'event_type')
            end
            order by spec.place
        )
        from
            jsonb_array_elements({{ document }} -> 'attribution_spec')
            with ordinality as spec (item, place)
    )
{%- endmacro %}

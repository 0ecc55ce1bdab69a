{#- The distinct texts that SQL/JSON paths find in a document, sorted, as text[]; null where there
    are none. Sorted, because Meta's order of a set is not stable. Silent: what is not of the shape
    that a path expects is not found. -#}
{% macro json_texts(document, paths) -%}
    (
        select array_agg(distinct control.json_text(found.item) order by control.json_text(found.item))
        from
            jsonb_array_elements(
                {% for path in paths -%}
                    jsonb_path_query_array({{ document }}, '{{ path }}', '{}', true)
                    {{- ' || ' if not loop.last }}
                {% endfor -%}
            ) as found (item)
        where control.json_text(found.item) is not null
    )
{%- endmacro %}

{#- The first of a document's texts that is there and not empty. Paths as of `#>`. -#}
{% macro first_text(document, paths) -%}
    coalesce(
        {% for path in paths -%}
            nullif({{ document_value(path, 'text', document) }}, '')
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
        from (
            select control.json_text(found.item) as code
            from
                jsonb_array_elements({{ document_value('targeting,genders', 'list', document) }})
                    as found (item)
        ) as gender
        where gender.code is not null
    )
{%- endmacro %}

{#- An ad set's attribution_spec in the words of insights, 7d_click, in Meta's order. -#}
{% macro attribution_windows(document) -%}
    (
        select array_agg(
            {{ document_value('window_days', 'text', 'spec.item') }}
            || case {{ document_value('event_type', 'text', 'spec.item') }}
                when 'CLICK_THROUGH' then 'd_click'
                when 'VIEW_THROUGH' then 'd_view'
                when 'ENGAGED_VIDEO_VIEW' then 'd_ev'
                else 'd_' || lower({{ document_value('event_type', 'text', 'spec.item') }})
            end
            order by spec.place
        ) filter (
            where num_nulls(
                {{ document_value('window_days', 'text', 'spec.item') }},
                {{ document_value('event_type', 'text', 'spec.item') }}
            ) = 0
        )
        from
            jsonb_array_elements({{ document_value('attribution_spec', 'list', document) }})
            with ordinality as spec (item, place)
    )
{%- endmacro %}

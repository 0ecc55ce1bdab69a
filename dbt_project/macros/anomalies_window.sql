{#- Days after the run's dates that are judged again with them: they have these dates as a baseline,
    which older history, pulled later, changes. -#}
{% macro judged_ahead() -%}
    {{ return(7 * var('anomaly_baseline_weeks')) }}
{%- endmacro %}

{#- SQL: a row's dates, event_date to last_date, are among those judged in this run or next to them;
    always true unless `is_update`. -#}
{% macro touches_window(relation, is_update=true) -%}
    {%- set window = window_bounds() if is_update else {} -%}
    true
    {%- if window.start %} and {{ relation }}.last_date >= date '{{ window.start }}' - 1{% endif -%}
    {%- if window.end %} and {{ relation }}.event_date <= date '{{ window.end }}' + {{ judged_ahead() }}{% endif -%}
{%- endmacro %}

{#- Whether marts.anomalies was made before it knew hours and severity: then it is made anew, from
    what the intermediate tables hold of all history. -#}
{% macro anomalies_are_of_an_older_version() -%}
    {%- set names = adapter.get_columns_in_relation(this) | map(attribute='name') | list -%}
    {{ return(execute and names and 'severity' not in names) }}
{%- endmacro %}

{% macro forget_anomalies_of_older_versions() -%}
    {%- if is_incremental() and anomalies_are_of_an_older_version() -%}
        delete from {{ this }}
    {%- endif -%}
{%- endmacro %}

{#- SQL: a date falls on a weekday of the run's window: what a seasonal baseline needs of the past. -#}
{% macro on_weekdays_of_window(column) -%}
    {%- set window = window_bounds() -%}
    {%- if is_incremental() and window.start and window.end -%}
        extract(isodow from {{ column }}) in (
            select extract(isodow from days.day)
            from generate_series(
                timestamp '{{ window.start }}',
                timestamp '{{ window.end }}' - interval '1 day',
                interval '1 day'
            ) as days (day)
        )
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

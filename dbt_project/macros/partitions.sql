{#- Pre-hook of metric_facts: the monthly partitions of the window, or of everything landed. -#}
{% macro ensure_fact_partitions() -%}
    {%- set window = window_bounds() -%}
    {%- if window.start and window.end -%}
        select control.ensure_month_partitions(
            'marts.metric_facts', date '{{ window.start }}', date '{{ window.end }}' - 1
        )
    {%- else -%}
        select control.ensure_month_partitions('marts.metric_facts', landed.first_date, landed.last_date)
        from (
            select
                least(
                    (select min(event_date) from raw.insights_hourly),
                    (select min(event_date) from raw.insights_daily)
                ) as first_date,
                greatest(
                    (select max(event_date) from raw.insights_hourly),
                    (select max(event_date) from raw.insights_daily)
                ) as last_date
        ) as landed
        where landed.first_date is not null
    {%- endif -%}
{%- endmacro %}

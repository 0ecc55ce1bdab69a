{#- The dates a run is about: half-open [start, end), account-local, from
    `--event-time-start D --event-time-end D+1`. Both are none when they were not given, which
    means all history. Command-line arguments, unlike `--vars`, keep dbt's parse cache. -#}
{% macro window_bounds() -%}
    {%- set start = invocation_args_dict.get('event_time_start') -%}
    {%- set end = invocation_args_dict.get('event_time_end') -%}
    {{ return({
        'start': (start ~ '')[:10] if start else none,
        'end': (end ~ '')[:10] if end else none,
    }) }}
{%- endmacro %}

{#- SQL: `column` is a date of the run's window, of the `lookback_days` before it or the `ahead_days`
    after it. -#}
{% macro dates_in_window(column, lookback_days=0, ahead_days=0) -%}
    {%- set window = window_bounds() -%}
    {%- if not window.start and not window.end -%}
        true
    {%- else -%}
        {%- if window.start %}{{ column }} >= date '{{ window.start }}'
            {{- ' - ' ~ lookback_days if lookback_days }}{% endif -%}
        {%- if window.start and window.end %} and {% endif -%}
        {%- if window.end %}{{ column }} < date '{{ window.end }}'
            {{- ' + ' ~ ahead_days if ahead_days }}{% endif -%}
    {%- endif -%}
{%- endmacro %}

{#- SQL for an incremental model's own filter: the window, or all history while the model's table
    does not exist yet or is rebuilt. -#}
{% macro in_window(column, lookback_days=0, ahead_days=0) -%}
    {%- if is_incremental() -%}
        {{ dates_in_window(column, lookback_days, ahead_days) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- Data tests look at the run's dates only, where their config says `where: in_window(column)`. -#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') or '' -%}
    {%- if where.startswith('in_window(') -%}
        {%- set predicate = dates_in_window(where[10:-1]) -%}
    {%- else -%}
        {%- set predicate = where -%}
    {%- endif -%}
    {%- if predicate and predicate != 'true' -%}
        {{ return('(select * from ' ~ relation ~ ' where ' ~ predicate ~ ') as tested') }}
    {%- endif -%}
    {{ return(relation) }}
{%- endmacro %}

{#- dbt warns of `numeric` without a precision. In Postgres that is the exact type of any length,
    which is what money needs: no warning. -#}
{% macro postgres__get_empty_schema_sql(columns) -%}
    select
    {%- for name, column in columns.items() %}
        {%- if column['data_type'] is not defined -%}
            {{ exceptions.raise_compiler_error(
                'Give column ' ~ name ~ ' a data_type: its model has a contract') }}
        {%- endif %}
        cast(null as {{ column['data_type'] }}) as {{ adapter.quote(name) if column.get('quote') else name }}
        {{- ', ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

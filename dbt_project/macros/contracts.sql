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

{#- As dbt-postgres has it, but arrays by their own name: it calls each of them ARRAY, which is no
    type that a column can be added or cast as. -#}
{% macro postgres__get_columns_in_relation(relation) -%}
    {%- call statement('get_columns_in_relation', fetch_result=True) -%}
        select
            column_name,
            case data_type
                when 'ARRAY' then substr(udt_name, 2) || '[]'
                else data_type
            end as data_type,
            character_maximum_length,
            numeric_precision,
            numeric_scale
        from {{ relation.information_schema('columns') }}
        where
            table_name = '{{ relation.identifier }}'
            {% if relation.schema %}and table_schema = '{{ relation.schema }}'{% endif %}
        order by ordinal_position
    {%- endcall -%}
    {{ return(sql_convert_columns_in_relation(load_result('get_columns_in_relation').table)) }}
{%- endmacro %}

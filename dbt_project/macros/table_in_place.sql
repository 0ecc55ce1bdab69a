{#- Tables that are built whole in each run keep their relation, and with it the views that read it:
    dbt's own materialization drops both. Only other columns make a new table. -#}
{% materialization table, adapter='postgres', supported_languages=['sql'] %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set new_rows = make_temp_relation(target_relation) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if existing is not none and not existing.is_table -%}
        {{ adapter.drop_relation(existing) }}
        {%- set existing = none -%}
    {%- endif -%}
    {%- if existing is not none -%}
        {%- do run_query(get_create_table_as_sql(True, new_rows, sql)) -%}
        {%- set old_columns, new_columns = columns_of_each([existing, new_rows]) -%}
        {%- if not same_columns(old_columns, new_columns) or should_full_refresh() -%}
            {{ adapter.drop_relation(existing) }}
            {%- set existing = none -%}
        {%- endif -%}
    {%- endif -%}
    {%- if existing is none -%}
        {%- call statement('main') -%}
            {{ get_create_table_as_sql(False, target_relation, sql) }}
        {%- endcall -%}
        {%- do create_indexes(target_relation) -%}
    {%- else -%}
        {%- set names = get_quoted_csv(new_columns | map(attribute='name')) -%}
        {%- call statement('main') -%}
            truncate {{ target_relation }};
            insert into {{ target_relation }} ({{ names }}) select {{ names }} from {{ new_rows }};
            drop table {{ new_rows }}
        {%- endcall -%}
    {%- endif -%}
    {%- do apply_grants(target_relation, config.get('grants'), should_revoke=False) -%}
    {%- do persist_docs(target_relation, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{#- Whether two lists of columns are the same by name and type, in any order. -#}
{% macro same_columns(left, right) -%}
    {%- set described = [] -%}
    {%- for columns in [left, right] -%}
        {%- set names = [] -%}
        {%- for column in columns -%}
            {%- do names.append(column.name ~ ' ' ~ column.data_type) -%}
        {%- endfor -%}
        {%- do described.append(names | sort) -%}
    {%- endfor -%}
    {{ return(described[0] == described[1]) }}
{%- endmacro %}

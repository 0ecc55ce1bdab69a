{#- Views are replaced in place. dbt's own materialization swaps a new view in and drops the old one
    with everything that reads it, so that each run would take other views away from their readers
    for a moment, and for good where only a part of the project was selected. Only a change that
    Postgres cannot make in place (a column removed or retyped) drops the view. -#}
{% materialization view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if existing is not none and not existing.is_view -%}
        {{ adapter.drop_relation(existing) }}
    {%- endif -%}
    {%- set contract = config.get('contract') -%}
    {%- call statement('main') -%}
        {% if contract and contract.enforced %}
            {{ get_assert_columns_equivalent(sql) }}
        {% endif %}
        do $replace_view$
        begin
            execute $create_view$
                create or replace view {{ target_relation }} as ({{ sql }})
            $create_view$;
        exception when invalid_table_definition then
            drop view {{ target_relation }} cascade;
            execute $create_view$
                create view {{ target_relation }} as ({{ sql }})
            $create_view$;
        end $replace_view$
    {%- endcall -%}
    {%- do persist_docs(target_relation, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

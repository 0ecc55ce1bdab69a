{#- A table follows its model's columns, also those that go or change their type. dbt does so with
    `sync_all_columns`, which it refuses for models with a contract: here `append_new_columns` does.
    The facts' table is a migration's: it only gets columns. Views that read a column which goes or
    changes go with it, and are built after their tables in the same run (transform/relations.py). -#}
{% macro postgres__sync_column_schemas(on_schema_change, target_relation, schema_changes_dict) -%}
    {%- set is_ours = config.get('full_refresh') != false -%}
    {%- do postgres__alter_relation_add_remove_columns(
        target_relation,
        schema_changes_dict['source_not_in_target'],
        schema_changes_dict['target_not_in_source'] if is_ours else []
    ) -%}
    {%- for changed in schema_changes_dict['new_target_types'] if is_ours -%}
        {%- do alter_column_type(target_relation, changed['column_name'], changed['new_type']) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro postgres__alter_relation_add_remove_columns(relation, add_columns, remove_columns) -%}
    {%- set changes = [] -%}
    {%- for column in add_columns or [] -%}
        {%- do changes.append('add column ' ~ column.quoted ~ ' ' ~ column.expanded_data_type) -%}
    {%- endfor -%}
    {%- for column in remove_columns or [] -%}
        {%- do changes.append('drop column ' ~ column.quoted ~ ' cascade') -%}
    {%- endfor -%}
    {%- if changes -%}
        {%- do log(relation ~ ': ' ~ changes | join(', '), info=true) -%}
        {%- do run_query('alter table ' ~ relation ~ ' ' ~ changes | join(', ')) -%}
    {%- endif -%}
{%- endmacro %}

{#- What cannot be read as the new type is null until a rebuild has filled it. -#}
{% macro postgres__alter_column_type(relation, column_name, new_column_type) -%}
    {%- set column = adapter.quote(column_name) -%}
    {%- do log(relation ~ ': ' ~ column ~ ' becomes ' ~ new_column_type, info=true) -%}
    {%- call statement('alter_column_type') -%}
        do $retype$
        declare
            reader regclass;
        begin
            for reader in
                select distinct rules.ev_class::regclass
                from pg_catalog.pg_depend as uses
                inner join pg_catalog.pg_rewrite as rules on uses.objid = rules.oid
                inner join pg_catalog.pg_attribute as columns
                    on
                        uses.refobjid = columns.attrelid
                        and uses.refobjsubid = columns.attnum
                where
                    uses.classid = 'pg_rewrite'::regclass
                    and uses.refobjid = '{{ relation }}'::regclass
                    and columns.attname = '{{ column_name }}'
            loop
                if to_regclass(reader::text) is not null then
                    execute 'drop view if exists ' || reader || ' cascade';
                end if;
            end loop;
            begin
                alter table {{ relation }}
                alter column {{ column }} type {{ new_column_type }}
                using {{ column }}::{{ new_column_type }};
            exception when data_exception or cannot_coerce or undefined_function then
                alter table {{ relation }} alter column {{ column }} drop not null;
                alter table {{ relation }}
                alter column {{ column }} type {{ new_column_type }} using null;
            end;
        end $retype$
    {%- endcall -%}
{%- endmacro %}

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

{#- In place of dbt's, which asks for the columns of each of the two relations by itself, through the
    adapter: a seventh of the time of a model of a few rows. -#}
{% macro postgres__check_for_schema_changes(source_relation, target_relation) -%}
    {%- set source_columns, target_columns = columns_of_each([source_relation, target_relation]) -%}
    {%- set known = {} -%}
    {%- for column in target_columns -%}
        {%- do known.update({column.name: column}) -%}
    {%- endfor -%}
    {%- set new, retyped = [], [] -%}
    {%- for column in source_columns -%}
        {%- set there = known.pop(column.name, none) -%}
        {%- if there is none -%}
            {%- do new.append(column) -%}
        {%- elif column.expanded_data_type != there.expanded_data_type
            and not column.can_expand_to(other_column=there) -%}
            {%- do retyped.append({'column_name': column.name, 'new_type': column.expanded_data_type}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set gone = known.values() | list -%}
    {{ return({
        'schema_changed': (new or gone or retyped) | length > 0,
        'source_not_in_target': new,
        'target_not_in_source': gone,
        'source_columns': source_columns,
        'target_columns': target_columns,
        'new_target_types': retyped,
    }) }}
{%- endmacro %}

{#- The columns of relations, a list for each. From the catalog, which names arrays and an analyst's
    own types as they can be cast to: dbt-postgres reads information_schema, where they are ARRAY and
    USER-DEFINED. As there, a domain is its base type: models give that, and the column keeps it. -#}
{% macro columns_of_each(relations) -%}
    {%- call statement('columns_of_each', fetch_result=True) -%}
        select
            relations.place,
            attributes.attname as column_name,
            pg_catalog.format_type(types.id, null) as data_type,
            information_schema._pg_char_max_length(types.id, types.modifier) as size,
            information_schema._pg_numeric_precision(types.id, types.modifier) as digits,
            information_schema._pg_numeric_scale(types.id, types.modifier) as scale
        from (
            values
            {%- for relation in relations %}
                ({{ loop.index0 }}, to_regclass('{{ relation }}')){{ ',' if not loop.last }}
            {%- endfor %}
        ) as relations (place, id)
        inner join pg_catalog.pg_attribute as attributes on relations.id = attributes.attrelid
        inner join pg_catalog.pg_type as declared on attributes.atttypid = declared.oid
        cross join
            lateral (
                select
                    case declared.typtype when 'd' then declared.typbasetype else declared.oid end
                        as id,
                    case declared.typtype when 'd' then declared.typtypmod else attributes.atttypmod end
                        as modifier
            ) as types
        where attributes.attnum > 0 and not attributes.attisdropped
        order by relations.place, attributes.attnum
    {%- endcall -%}
    {%- set found = [] -%}
    {%- for _ in relations -%}
        {%- do found.append([]) -%}
    {%- endfor -%}
    {%- for place, name, type, size, digits, scale in load_result('columns_of_each').table -%}
        {%- do found[place | int].append(api.Column(name, type, size, digits, scale)) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{% macro postgres__get_columns_in_relation(relation) -%}
    {{ return(columns_of_each([relation]) | first) }}
{%- endmacro %}

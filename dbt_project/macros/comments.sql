{#- Descriptions as comments, written only where they differ from what is there. dbt writes all of
    them in each run: a tenth of its processor time, and as many dead rows in Postgres's catalog. -#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- set wanted = [] -%}
    {%- if for_relation and config.persist_relation_docs() and model.description -%}
        {%- do wanted.append('=' ~ model.description) -%}
    {%- endif -%}
    {%- for column in model.columns.values() if for_columns and config.persist_column_docs() and column.description -%}
        {%- do wanted.append(column.name ~ '=' ~ column.description) -%}
    {%- endfor -%}
    {%- call statement('comments', fetch_result=True) -%}
        select md5(coalesce(string_agg(line, e'\n' order by line collate "C"), '')) as digest
        from (
            select coalesce(attributes.attname, '') || '=' || comments.description as line
            from pg_catalog.pg_description as comments
            left join pg_catalog.pg_attribute as attributes
                on
                    comments.objoid = attributes.attrelid
                    and comments.objsubid = attributes.attnum
                    and comments.objsubid > 0
            where
                comments.classoid = 'pg_class'::regclass
                and comments.objoid = '{{ relation }}'::regclass
        ) as lines
    {%- endcall -%}
    {%- set there = load_result('comments')['data'][0][0] -%}
    {%- if there != local_md5(wanted | sort(case_sensitive=true) | join('\n')) -%}
        {{ default__persist_docs(relation, model, for_relation, for_columns) }}
    {%- endif -%}
{%- endmacro %}

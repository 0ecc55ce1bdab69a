{#- A landed creative, with its account, is what a row of dim_creatives was made of. -#}
{% macro is_same_creative(landed, accounts, known) -%}
    {{ known }}.changed_at = {{ landed }}.changed_at
    and {{ known }}.is_deleted = {{ landed }}.is_deleted
    and {{ known }}.missing_since is not distinct from {{ landed }}.missing_since
    and {{ known }}.workspace_id = {{ accounts }}.workspace_id
{%- endmacro %}

{#- For models that keep unchanged rows: what rows are made of, the model's code, its columns and the
    view that it reads, macros included. -#}
{% macro code_hash(view) -%}
    md5('{{ local_md5(model.raw_code ~ model.columns | list | sort | join(',')) }}' || pg_get_viewdef('{{ view }}'::regclass))
{%- endmacro %}

{#- Pre-hook: all rows are made anew when the code is another than that of the last build. -#}
{% macro forget_rows_of_other_code(view) -%}
    {%- if execute and is_incremental() -%}
        delete from {{ this }}
        where
            not exists (
                select 1 from intermediate.model_code
                where model_code.model = '{{ this.identifier }}' and model_code.code = {{ code_hash(view) }}
            )
    {%- endif -%}
{%- endmacro %}

{#- Post-hook of the same models. -#}
{% macro remember_code(view) -%}
    {%- if execute -%}
        insert into intermediate.model_code (model, code)
        values ('{{ this.identifier }}', {{ code_hash(view) }})
        on conflict (model) do update set code = excluded.code where model_code.code <> excluded.code
    {%- endif -%}
{%- endmacro %}

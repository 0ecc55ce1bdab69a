{#- Incremental strategy `replace_window`: after it, the target's rows of the run's window are
    exactly the model's rows. What vanished upstream is deleted, an emptied window is emptied, what
    changed is replaced, and identical rows are not touched, so that a second run changes nothing.

    `unique_key` (columns, never null) pairs old and new rows. Optional keys of `config.meta`:
      window_column  the date that the window filters; `none`: the model gives its whole content
      spans_dates    the model gives the rows whose dates, event_date to last_date, touch the window
                     (touches_window)
      kept_rows      SQL predicate on the target (alias `old`): rows the model does not speak for,
                     which stay as they are
      scope_columns  the model speaks only for rows whose values of these columns it returns
      ahead_days     the model gives the rows of so many days after the window, too
      is_by_weekday  of these and of the window only those of the window's weekdays
    Each build's counts go to intermediate.model_changes. -#}
{% macro get_incremental_replace_window_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set source = arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | list -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set keys = [key] if key is string else key -%}
    {%- set meta = config.get('meta', {}) -%}
    {%- set window_column = meta.get('window_column', 'event_date') -%}
    {%- if meta.get('spans_dates') -%}
        {#- A row that grew into the window did not touch it before. -#}
        {%- set in_question = '(' ~ touches_window('old') ~ ' or ' ~ is_given(keys, source) ~ ')' -%}
    {%- elif window_column == 'none' -%}
        {%- set in_question = 'true' -%}
    {%- else -%}
        {%- set in_question = dates_in_window('old.' ~ window_column, 0, meta.get('ahead_days', 0)) -%}
    {%- endif -%}
    {%- set scope = [in_question] -%}
    {%- if meta.get('is_by_weekday') -%}
        {%- do scope.append(on_weekdays_of_window('old.' ~ window_column)) -%}
    {%- endif -%}
    {%- set owner = meta.get('scope_columns', []) -%}
    {%- if owner -%}
        {%- do scope.append(is_given(owner, source)) -%}
    {%- endif -%}
    {%- if meta.get('kept_rows') -%}
        {%- do scope.append('not (' ~ meta.get('kept_rows') ~ ')') -%}
    {%- endif -%}

    {%- call statement('replace_window_delete') -%}
        delete from {{ target }} as old
        where {{ scope | join(' and ') }}
            and not exists (
                select 1
                from {{ source }} as new
                where {% for name in keys %}new.{{ name }} = old.{{ name }} and {% endfor -%}
                    (new.{{ columns | join(', new.') }})
                    is not distinct from (old.{{ columns | join(', old.') }})
            )
    {%- endcall -%}
    {%- set deleted = load_result('replace_window_delete')['response'].rows_affected -%}

    with inserted as (
        insert into {{ target }} ({{ columns | join(', ') }})
        select new.{{ columns | join(', new.') }}
        from {{ source }} as new
        where not exists (
            select 1
            from {{ target }} as old
            where {% for name in keys %}new.{{ name }} = old.{{ name }} and {% endfor -%}
                {{ scope[0] }}
        )
        returning 1
    ),

    recorded as (
        {{ record_changes(deleted, '(select count(*) from inserted)') }}
    )

    select 1 from inserted
{%- endmacro %}

{#- SQL: the model returns a row with the values that a row of the target (`old`) has in these columns. -#}
{% macro is_given(columns, source) -%}
    (old.{{ columns | join(', old.') }}) in (select new.{{ columns | join(', new.') }} from {{ source }} as new)
{%- endmacro %}

{#- The ledger of what each incremental build changed. -#}
{% macro create_model_changes() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        create schema if not exists intermediate;
        create table if not exists intermediate.model_changes (
            invocation_id text not null,
            model text not null,
            window_start date,
            window_end date,
            rows_deleted bigint not null,
            rows_inserted bigint not null,
            built_at timestamptz not null default now()
        );
        create index if not exists model_changes_invocation
        on intermediate.model_changes (invocation_id);
        comment on table intermediate.model_changes is
        'Rows that each incremental dbt build deleted and inserted; a changed row counts in both.';
        create or replace trigger told after insert on intermediate.model_changes
        for each row when (new.model in ('account_daily', 'anomalies'))
        execute function control.tell_of_build();
        delete from intermediate.model_changes where built_at < now() - interval '30 days';
        create table if not exists intermediate.model_code (
            model text primary key,
            code text not null
        );
        comment on table intermediate.model_code is
        'What the rows of models that keep unchanged rows were built with: a hash of their code.';
    {%- endif -%}
{%- endmacro %}

{% macro record_changes(deleted, inserted) -%}
    {%- set window = window_bounds() -%}
    insert into intermediate.model_changes
        (invocation_id, model, window_start, window_end, rows_deleted, rows_inserted)
    select
        '{{ invocation_id }}',
        '{{ this.identifier }}',
        {{ "date '" ~ window.start ~ "'" if window.start else 'null::date' }},
        {{ "date '" ~ window.end ~ "'" if window.end else 'null::date' }},
        {{ deleted }},
        {{ inserted }}
{%- endmacro %}

{#- Pre-hook of a model that joins what the planner cannot estimate (a CTE, a view over a view): it
    expects one row where there are 160,000, and a nested loop over both sides takes minutes; or it
    sorts ten million for a merge join with sixteen thousand. Lasts as long as the model's
    transaction. -#}
{% macro hash_joins_only() -%}
    set local enable_nestloop = off;
    set local enable_mergejoin = off
{%- endmacro %}

{#- Post-hook: Postgres never analyzes a partitioned parent by itself, and nothing right after a
    bulk load. -#}
{% macro analyze_after_bulk() -%}
    {%- if execute -%}
        {%- set result = load_result('main') -%}
        {%- if result and (result['response'].rows_affected or 0) > 5000 -%}
            analyze {{ this }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

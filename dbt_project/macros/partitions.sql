{#- Pre-hook of metric_facts: the monthly partitions of the window, or of everything landed. -#}
{% macro ensure_fact_partitions() -%}
    {%- set window = window_bounds() -%}
    {%- if window.start and window.end -%}
        select control.ensure_month_partitions(
            'marts.metric_facts', date '{{ window.start }}', date '{{ window.end }}' - 1
        )
    {%- else -%}
        select control.ensure_month_partitions('marts.metric_facts', landed.first_date, landed.last_date)
        from (
            select
                least(
                    (select min(event_date) from raw.insights_hourly),
                    (select min(event_date) from raw.insights_daily),
                    (select min(event_date) from raw.ingested_facts)
                ) as first_date,
                greatest(
                    (select max(event_date) from raw.insights_hourly),
                    (select max(event_date) from raw.insights_daily),
                    (select max(event_date) from raw.ingested_facts)
                ) as last_date
        ) as landed
        where landed.first_date is not null
    {%- endif -%}
{%- endmacro %}

{#- Pre-hook of metric_facts: which version of posted account-days it is about to read. Noted before the
    facts are read: what is posted meanwhile is another version, and built again. -#}
{% macro note_ingested_days() -%}
    insert into raw.ingested_days_built as built (event_date, provider, account_id, version_read)
    select
        event_date,
        provider,
        account_id,
        version
    from raw.ingested_days
    where {{ dates_in_window('event_date') }}
    on conflict (event_date, provider, account_id) do update set
        version_read = excluded.version_read
    where built.version_read is distinct from excluded.version_read
{%- endmacro %}

{#- Post-hook of what is built after the last rollup: the marts have what was noted. -#}
{% macro finish_ingested_days() -%}
    update raw.ingested_days_built
    set version = version_read, built_at = now()
    where
        version is distinct from version_read
        and version_read is not null
        and {{ dates_in_window('event_date') }}
{%- endmacro %}

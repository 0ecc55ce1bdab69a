{#- Now. The Postgres setting `meta_ads.now` puts another instant in its place, to replay a past
    state: PGOPTIONS="-c meta_ads.now=2026-03-01T00:00Z". -#}
{% macro current_instant() -%}
    coalesce(nullif(current_setting('meta_ads.now', true), '')::timestamptz, now())
{%- endmacro %}

{#- An account-local hour is expected so many minutes after it ends: the pipeline tells dbt, as it
    depends on how often today is read (PERFORMANCE_SYNC_INTERVAL_MINUTES). -#}
{% macro expected_lag_minutes() -%}
    {{ env_var('META_ADS_DBT_EXPECTED_LAG_MINUTES', '90') | int }}
{%- endmacro %}

{#- Today's date where the account is. -#}
{% macro today_in(timezone) -%}
    ({{ current_instant() }} at time zone {{ timezone }})::date
{%- endmacro %}

{#- True when Meta no longer restates the date. -#}
{% macro is_settled(event_date, timezone) -%}
    {{ today_in(timezone) }} - {{ event_date }} > {{ var('settled_after_days') }}
{%- endmacro %}

{#- The start of the local hour that a fact belongs to: the first instant of that date and hour
    label. Autumn's repeated hour has begun up to three hours before its last minute, and an hour
    that spring skips in part begins where it exists, so that subtracting the minutes is not enough.
    Clocks change at quarters of an hour. -#}
{% macro hour_start(grain, event_at, timezone) -%}
    case {{ grain }}
        when 'minute'
            then (
                select min(quarters.starts_at)
                from generate_series(
                    date_bin('15 minutes', {{ event_at }} - interval '3 hours', 'epoch'),
                    {{ event_at }},
                    interval '15 minutes'
                ) as quarters (starts_at)
                where
                    date_trunc('hour', quarters.starts_at at time zone {{ timezone }})
                    = date_trunc('hour', {{ event_at }} at time zone {{ timezone }})
            )
        else {{ event_at }}
    end
{%- endmacro %}

{#- Post-hook: rows that were kept while their account-day is held follow it in whether it has
    settled. See control.account_days. -#}
{% macro settle_account_days() -%}
    update {{ this }} as rows
    set is_settled = days.is_settled
    from control.account_days as days
    where
        rows.account_id = days.account_id
        and rows.event_date = days.event_date
        and rows.is_settled is distinct from days.is_settled
        {%- if this.identifier != 'conversions_daily' %}
            and rows.source = 'insights'
        {%- endif %}
        and {{ dates_in_window('rows.event_date') }}
{%- endmacro %}

{#- What a person calls a measure: CTR, CPC and CPM in capitals, the others as the columns. -#}
{% macro measure_label(measure) -%}
    case when {{ measure }} in ('ctr', 'cpc', 'cpm') then upper({{ measure }}) else {{ measure }} end
{%- endmacro %}

{#- ln(value / expected). Nothing at all counts as a fiftieth: its logarithm would be infinite. -#}
{% macro log_ratio(value, expected) -%}
    ln(greatest({{ value }} / {{ expected }}, 0.02)::double precision)
{%- endmacro %}

{#- stopped (nothing where there was something), spike or drop. -#}
{% macro anomaly_kind(value, log_ratio) -%}
    case when {{ value }} = 0 then 'stopped' when {{ log_ratio }} > 0 then 'spike' else 'drop' end
{%- endmacro %}

{#- The value up to which (sign 1) or down to which (-1) nothing would be reported. -#}
{% macro usual_bound(expected, spread, sign) -%}
    round(
        ({{ expected }} * exp({{ sign }} * greatest(
            {{ var('anomaly_minimum_score') }} * {{ spread }}, ln({{ var('anomaly_minimum_factor') }})
        )))::numeric,
        6
    )
{%- endmacro %}

{#- For `meta.kept_rows`: rows of account-days whose pulls do not agree at the moment stay, as they
    do in the facts; with a measure, also those whose measure is held. -#}
{% macro waits_for_agreement(measure=none) -%}
    not exists (
        select 1 from intermediate.int_meta__agreed_account_days as agreed
        where
            agreed.account_id = old.account_id
            and agreed.event_date = old.event_date
            {% if measure -%} and not {{ is_held_in_part(measure) }} {%- endif %}
    )
{%- endmacro %}

{#- Whether an agreed account-day is without what a measure is judged by. Its facts keep the values
    from before, which new hours do not have: a sum of them is no value of the day. -#}
{% macro is_held_in_part(measure, day='agreed') -%}
    ({{ day }}.held_measures && case
        when {{ measure }} in ('purchases', 'leads', 'revenue') then array[{{ measure }}]
        else array['spend', 'impressions', 'clicks']
    end)
{%- endmacro %}

{#- Whether a week of a baseline is evidence: the entity had begun by then, within the baseline's own
    weeks. What lies farther back is read or not, as the run's dates have it, and must not matter. -#}
{% macro has_begun(week, judged) -%}
    {{ week }}.last_active >= {{ judged }}.event_date - {{ 7 * var('anomaly_baseline_weeks') }}
{%- endmacro %}

{#- The cause of what else is off comes first: what is not delivered is not clicked on either. -#}
{% macro cause_rank(measure, kind) -%}
    case
        when {{ measure }} = 'impressions' and {{ kind }} = 'stopped' then 1
        when {{ kind }} = 'over_budget' then 2
        else array_position(
            array[
                'spend', 'cpm', 'ctr', 'impressions', 'clicks', 'cpc',
                'purchases', 'leads', 'revenue'
            ],
            {{ measure }}
        ) + 2
    end
{%- endmacro %}

{#- A change as a person writes it: +197 %. -#}
{% macro change_text(value, expected) -%}
    to_char(100 * ({{ value }} - {{ expected }}) / {{ expected }}, 'FMSG999999990') || ' %'
{%- endmacro %}

{#- Aggregate: the value of the earliest row. -#}
{% macro first_of(column) -%}
    (array_agg({{ column }} order by starts_at))[1]
{%- endmacro %}

{#- Good news, and what has its reason, is for information; never does an anomaly block. -#}
{% macro anomaly_severity() -%}
    case
        when known_reason is not null then 'inform'
        when measure = 'spend' then 'warn'
        when direction = case when measure in ('cpm', 'cpc') then 'up' else 'down' end then 'warn'
        else 'inform'
    end
{%- endmacro %}

{#- An amount with its unit, as a person writes it. -#}
{% macro amount_text(amount) -%}
    case
        when measure in ('spend', 'revenue', 'cpc', 'cpm')
            then
                to_char(
                    {{ amount }},
                    case money_decimals
                        when 0 then 'FM999,999,999,990' else 'FM999,999,999,990.00'
                    end
                ) || ' ' || unit
        when measure = 'ctr' then to_char({{ amount }}, 'FM990.00') || ' %'
        else to_char({{ amount }}, 'FM999,999,999,990')
    end
{%- endmacro %}

{#- When it was, where the account is: on Tuesday 2026-11-17 from 14:00 to 16:00. -#}
{% macro anomaly_time_text() -%}
    'on ' || to_char(event_date, 'FMDay YYYY-MM-DD')
    || case
        when event_hour is not null
            then
                to_char(starts_at at time zone timezone, '" from "HH24:MI')
                || ' to '
                || case
                    when last_date = event_date then ''
                    else to_char(last_date, 'YYYY-MM-DD ')
                end
                || case
                    when (ends_at at time zone timezone)::time = '00:00' then '24:00'
                    else to_char(ends_at at time zone timezone, 'HH24:MI')
                end
        when last_date > event_date then to_char(last_date, '", and until "YYYY-MM-DD')
        else ''
    end
{%- endmacro %}

{#- The anomaly in words. -#}
{% macro anomaly_sentence() -%}
    {%- set limits = var('budget_limits') -%}
    case
        when budget_period = 'day'
            then
                'spent ' || {{ amount_text('value') }} || ' ' || {{ anomaly_time_text() }}
                || ', more than {{ limits.day }} times its daily budget of '
                || {{ amount_text('expected') }}
        when budget_period = 'week'
            then
                'spent ' || {{ amount_text('value') }} || ' in the week to '
                || to_char(event_date, 'FMDay YYYY-MM-DD')
                || ', more than {{ limits.week }} times its daily budget of '
                || {{ amount_text('expected') }}
        when budget_period = 'lifetime'
            then
                'had spent ' || {{ amount_text('value') }} || ' by '
                || to_char(event_date, 'FMDay YYYY-MM-DD')
                || ', more than its lifetime budget of ' || {{ amount_text('expected') }}
        else
            case
                when kind = 'stopped' and measure = 'impressions'
                    then 'delivery stopped: no impressions ' || {{ anomaly_time_text() }}
                when kind = 'stopped'
                    then 'no ' || {{ measure_label('measure') }} || ' ' || {{ anomaly_time_text() }}
                else
                    {{ measure_label('measure') }}
                    || case when measure like '%s' then ' were ' else ' was ' end
                    || {{ amount_text('value') }} || ' ' || {{ anomaly_time_text() }}
            end
            || ', usually ' || {{ amount_text('expected') }}
            || case
                when kind = 'stopped' then ''
                else ' (' || {{ change_text('value', 'expected') }} || ')'
            end
            || ', by the same '
            || case when grain = 'hour' then 'hours of the weekday' else 'weekday' end
            || ' in ' || evidence_weeks || ' earlier weeks'
    end
    || coalesce('; with it: ' || related_text, '')
    || coalesce('; ' || explanation, '')
{%- endmacro %}

{#- Effective statuses of an ad that somebody chose not to run. -#}
{% macro not_running_statuses() -%}
    {{ return(['PAUSED', 'ADSET_PAUSED', 'CAMPAIGN_PAUSED', 'ARCHIVED', 'DELETED']) }}
{%- endmacro %}

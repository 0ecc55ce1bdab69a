{{ config(
    unique_key='anomaly_key',
    indexes=[{'columns': ['anomaly_key'], 'unique': true}, {'columns': ['event_date']}]
) }}

{%- set lookback = '7 * ' ~ var('anomaly_baseline_weeks') -%}
{%- set additive = ['spend', 'impressions', 'clicks', 'purchases', 'revenue', 'leads'] -%}
{%- set ratios = ['ctr', 'cpc', 'cpm'] -%}
{%- set counts = ['impressions', 'clicks', 'purchases', 'leads'] %}

-- Days that were over when all three pulls were made, and agree: a running day is always low.
with whole_days as (
    select
        slices.account_id,
        slices.event_date
    from {{ ref('stg_meta__slices') }} as slices
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on slices.account_id = accounts.account_id
    inner join {{ ref('int_meta__agreed_account_days') }} as agreed
        on slices.account_id = agreed.account_id and slices.event_date = agreed.event_date
    where
        {{ in_window('slices.event_date', lookback) }}
        and {{ in_window('agreed.event_date', lookback) }}
    group by slices.account_id, slices.event_date, accounts.timezone
    having bool_and((slices.pulled_at at time zone accounts.timezone)::date > slices.event_date)
),

active as (
    {% for level, rollup in [('account', 'account_daily'), ('campaign', 'campaign_daily')] %}
        select
            '{{ level }}' as level,
            account_id,
            {{ level }}_id as external_entity_id,
            event_date,
            {{ (additive + ratios) | join(', ') }}
        from {{ ref(rollup) }}
        where provider = 'meta' and {{ in_window('event_date', lookback) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

entities as (
    select
        level,
        account_id,
        external_entity_id,
        min(event_date) as first_date
    from active
    group by level, account_id, external_entity_id
),

-- Every whole day since an entity began: a day without rows is a day without delivery.
entity_days as (
    select
        entities.level,
        entities.account_id,
        entities.external_entity_id,
        whole_days.event_date,
        active.impressions >= 500 as has_ratios,
        {% for measure in additive %}
            coalesce(active.{{ measure }}, 0) as {{ measure }},
        {% endfor %}
        {{ ratios | join(', ') }}
    from entities
    inner join whole_days
        on
            entities.account_id = whole_days.account_id
            and entities.first_date <= whole_days.event_date
    left join active
        on
            entities.level = active.level
            and entities.external_entity_id = active.external_entity_id
            and whole_days.event_date = active.event_date
),

observed as (
    select
        entity_days.level,
        entity_days.account_id,
        entity_days.external_entity_id,
        entity_days.event_date,
        measures.measure,
        measures.value
    from entity_days
    cross join
        lateral (
            values
            {% for measure in additive + ratios -%}
                ('{{ measure }}', entity_days.{{ measure }}::numeric){{ ',' if not loop.last }}
            {% endfor -%}
        ) as measures (measure, value)
    where
        measures.value is not null
        and (
            measures.measure not in ({{ text_list(ratios) }})
            or entity_days.has_ratios
        )
),

baselines as (
    select
        target.level,
        target.account_id,
        target.external_entity_id,
        target.event_date,
        target.measure,
        target.value,
        count(*) as evidence_weeks,
        {{ exact_median('earlier.value') }} as median,
        array_agg(earlier.value) as earlier_values
    from observed as target
    cross join generate_series(1, {{ var('anomaly_baseline_weeks') }}) as weeks (week_number)
    inner join observed as earlier
        on
            target.level = earlier.level
            and target.external_entity_id = earlier.external_entity_id
            and target.measure = earlier.measure
            and target.event_date - 7 * weeks.week_number = earlier.event_date
    where {{ in_window('target.event_date') }}
    group by
        target.level,
        target.account_id,
        target.external_entity_id,
        target.event_date,
        target.measure,
        target.value
    having count(*) >= {{ var('anomaly_minimum_evidence') }}
),

-- The spread is the median absolute deviation, but never less than 5 % of the median or, for
-- counts, than the noise of counting: a flat history must not turn a ripple into an alarm.
scored as (
    select
        baselines.*,
        round(
            (baselines.value - baselines.median)
            / greatest(
                1.4826 * spread.mad,
                0.05 * baselines.median,
                case
                    when
                        baselines.measure in ({{ text_list(counts) }})
                        then sqrt(greatest(baselines.median, 1))
                    else 0.01
                end
            ),
            2
        ) as score,
        round(100 * (baselines.value - baselines.median) / nullif(baselines.median, 0), 1)
            as change_percent
    from baselines
    cross join
        lateral (
            select {{ exact_median('abs(earlier.value - baselines.median)') }} as mad
            from unnest(baselines.earlier_values) as earlier (value)
        ) as spread
),

reported as (
    select scored.*
    from scored
    left join observed as day_before
        on
            scored.level = day_before.level
            and scored.external_entity_id = day_before.external_entity_id
            and scored.measure = day_before.measure
            and scored.event_date - 1 = day_before.event_date
    where
        abs(scored.score) >= {{ var('anomaly_minimum_score') }}
        and coalesce(
            abs(scored.change_percent) >= {{ var('anomaly_minimum_change_percent') }}, true
        )
        -- What stopped is reported on the day it stopped, not on each day after.
        and (scored.value <> 0 or day_before.value is distinct from 0)
)

select
    'meta:' || reported.level || ':' || reported.external_entity_id || ':'
    || reported.measure || ':' || reported.event_date as anomaly_key,
    accounts.workspace_id,
    reported.account_id,
    reported.level,
    reported.external_entity_id,
    reported.event_date,
    reported.measure,
    case
        when reported.value = 0 then 'stopped'
        when reported.score > 0 then 'spike'
        else 'drop'
    end as kind,
    reported.value,
    round(reported.median, 6) as expected,
    reported.score,
    reported.change_percent,
    reported.evidence_weeks,
    initcap(reported.level) || ' ' || reported.external_entity_id || ': ' || reported.measure
    || ' was ' || trim_scale(round(reported.value, 2)) || ' on ' || reported.event_date
    || ', usually ' || trim_scale(round(reported.median, 2)) || ' on a '
    || to_char(reported.event_date, 'FMDay')
    || coalesce(' (' || to_char(reported.change_percent, 'FMSG999999990') || ' %)', '')
    || ', by the last ' || reported.evidence_weeks || ' weeks' as sentence
from reported
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on reported.account_id = accounts.account_id

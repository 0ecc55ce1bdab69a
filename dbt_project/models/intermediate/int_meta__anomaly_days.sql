{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    pre_hook='{{ hash_joins_only() }}',
    unique_key=['level', 'external_entity_id', 'event_date', 'measure'],
    meta={'kept_rows': waits_for_agreement('old.measure'), 'ahead_days': judged_ahead()},
    indexes=[
        {'columns': ['level', 'external_entity_id', 'event_date', 'measure'], 'unique': true},
        {'columns': ['event_date']}
    ]
) }}

{%- set lookback = '7 * ' ~ var('anomaly_baseline_weeks') -%}
{%- set additive = ['spend', 'impressions', 'clicks', 'purchases', 'revenue', 'leads'] -%}
{%- set ratios = ['ctr', 'cpc', 'cpm'] -%}
{%- set conversions = ['purchases', 'leads', 'revenue'] %}

{%- set smallest_spread = 0.2 -%}
{%- set smallest_conversions = 8 %}

-- Days that were over when all three pulls were made, and agree: a running day is always low.
with whole_days as (
    select
        slices.account_id,
        slices.event_date,
        accounts.timezone,
        agreed.held_measures
    from {{ ref('stg_meta__slices') }} as slices
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on slices.account_id = accounts.account_id
    inner join {{ ref('int_meta__agreed_account_days') }} as agreed
        on slices.account_id = agreed.account_id and slices.event_date = agreed.event_date
    where
        {{ in_window('slices.event_date', lookback, judged_ahead()) }}
        and {{ in_window('agreed.event_date', lookback, judged_ahead()) }}
    group by slices.account_id, slices.event_date, accounts.timezone, agreed.held_measures
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
        where provider = 'meta' and {{ in_window('event_date', lookback, judged_ahead()) }}
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
        whole_days.held_measures,
        max(active.event_date) over (
            partition by entities.level, entities.external_entity_id
            order by whole_days.event_date
        ) as last_active,
        active.impressions >= {{ var('anomaly_minimum_impressions') }} as has_ratios,
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

-- `events` are what a measure rests on, where these are so few that chance shows.
observed as (
    select
        entity_days.level,
        entity_days.account_id,
        entity_days.external_entity_id,
        entity_days.event_date,
        entity_days.last_active,
        measures.measure,
        measures.value,
        measures.events
    from entity_days
    cross join
        lateral (
            values
            ('spend', entity_days.spend::numeric, null::numeric),
            ('impressions', entity_days.impressions::numeric, null),
            ('clicks', entity_days.clicks::numeric, entity_days.clicks::numeric),
            ('purchases', entity_days.purchases::numeric, entity_days.purchases::numeric),
            ('revenue', entity_days.revenue::numeric, entity_days.purchases::numeric),
            ('leads', entity_days.leads::numeric, entity_days.leads::numeric),
            ('ctr', entity_days.ctr::numeric, entity_days.clicks::numeric),
            ('cpc', entity_days.cpc::numeric, entity_days.clicks::numeric),
            ('cpm', entity_days.cpm::numeric, null)
        ) as measures (measure, value, events)
    where
        measures.value is not null
        and not {{ is_held_in_part('measures.measure', 'entity_days') }}
        and (
            measures.measure not in ({{ text_list(ratios) }})
            or entity_days.has_ratios
        )
),

-- The same weekday in the weeks before; of those and of the last three of them what is nearer is
-- expected, so that what drifts is compared with where it has drifted to.
histories as (
    select
        observed.*,
        array_agg(value) over weeks_before as earlier_values,
        array_agg(events) over weeks_before as earlier_events,
        array_agg(event_date) over weeks_before as earlier_dates,
        array_agg(last_active) over weeks_before as earlier_active
    from observed
    window
        weeks_before as (
            partition by
                level, external_entity_id, measure, extract(isodow from event_date)
            order by event_date
            range between
            interval '{{ 7 * var('anomaly_baseline_weeks') }} days' preceding
            and interval '7 days' preceding
        )
),

baselines as (
    select
        histories.*,
        usual.evidence_weeks,
        usual.usual_events,
        usual.expected as typical,
        case
            when
                abs({{ log_ratio('histories.value', 'nullif(lately.expected, 0)') }})
                < abs({{ log_ratio('histories.value', 'usual.expected') }})
                then lately.expected
            else usual.expected
        end as expected
    from histories
    cross join
        lateral (
            select
                count(*) as evidence_weeks,
                {{ exact_median('weeks.value') }} as expected,
                {{ exact_median('weeks.events') }} as usual_events
            from
                unnest(
                    histories.earlier_values, histories.earlier_events, histories.earlier_active
                ) as weeks (value, events, last_active)
            where {{ has_begun('weeks', 'histories') }}
        ) as usual
    cross join
        lateral (
            select {{ exact_median('weeks.value') }} as expected
            from
                unnest(
                    histories.earlier_values, histories.earlier_dates, histories.earlier_active
                ) as weeks (value, event_date, last_active)
            where
                weeks.event_date >= histories.event_date - 21
                and {{ has_begun('weeks', 'histories') }}
        ) as lately
    where
        usual.evidence_weeks >= {{ var('anomaly_minimum_evidence') }}
        and {{ in_window('histories.event_date', 0, judged_ahead()) }}
        and usual.expected > 0
),

-- Changes are factors: a third is as far from normal as three times. So distances are those of
-- logarithms, in units of the median absolute deviation, which is never taken for less than
-- {{ smallest_spread }}: a flat history must not turn a ripple into an alarm.
scored as (
    select
        baselines.*,
        distance.log_ratio,
        sqrt(
            greatest(1.4826 * spread.mad, {{ smallest_spread }}) ^ 2
            -- The variance of counting, of the day and of its median: ten purchases are
            -- soon eight or twelve.
            + case
                when baselines.usual_events is null then 0
                else 1.3 / greatest(baselines.usual_events::double precision, 0.5)
            end
        ) as spread
    from baselines
    cross join
        lateral (select {{ log_ratio('baselines.value', 'baselines.expected') }} as log_ratio)
            as distance
    cross join
        lateral (
            select
                percentile_cont(0.5) within group (
                    order by abs({{ log_ratio('earlier.value', 'baselines.typical') }})
                ) as mad
            from
                unnest(baselines.earlier_values, baselines.earlier_active)
                    as earlier (value, last_active)
            where {{ has_begun('earlier', 'baselines') }}
        ) as spread
)

select
    scored.level,
    scored.account_id,
    scored.external_entity_id,
    scored.event_date,
    scored.event_date::timestamp at time zone whole_days.timezone as starts_at,
    (scored.event_date + 1)::timestamp at time zone whole_days.timezone as ends_at,
    scored.measure,
    {{ anomaly_kind('scored.value', 'scored.log_ratio') }} as kind,
    scored.value,
    round(scored.expected, 6) as expected,
    {{ usual_bound('scored.expected', 'scored.spread', -1) }} as expected_low,
    {{ usual_bound('scored.expected', 'scored.spread', 1) }} as expected_high,
    round((scored.log_ratio / scored.spread)::numeric, 2) as score,
    round(scored.log_ratio::numeric, 4) as log_ratio,
    scored.evidence_weeks
from scored
inner join whole_days
    on scored.account_id = whole_days.account_id and scored.event_date = whole_days.event_date
where
    abs(scored.log_ratio) >= ln({{ var('anomaly_minimum_factor') }})
    and abs(round((scored.log_ratio / scored.spread)::numeric, 2))
    >= {{ var('anomaly_minimum_score') }}
    -- A handful of conversions comes and goes.
    and (
        scored.measure not in ({{ text_list(conversions) }})
        or greatest(scored.usual_events, scored.events) >= {{ smallest_conversions }}
    )

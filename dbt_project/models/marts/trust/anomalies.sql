{{ config(
    unique_key='anomaly_key',
    indexes=[{'columns': ['anomaly_key'], 'unique': true}, {'columns': ['event_date']}]
) }}

{#- The day before is scored too: what goes on is reported on its first day only. -#}
{%- set lookback = '7 * ' ~ var('anomaly_baseline_weeks') ~ ' + 1' -%}
{%- set additive = ['spend', 'impressions', 'clicks', 'purchases', 'revenue', 'leads'] -%}
{%- set ratios = ['ctr', 'cpc', 'cpm'] -%}
{%- set conversions = ['purchases', 'leads', 'revenue'] %}

{%- set smallest_spread = 0.2 -%}
{%- set smallest_conversions = 8 %}

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

-- `events` are what a measure rests on, where these are so few that chance shows.
observed as (
    select
        entity_days.level,
        entity_days.account_id,
        entity_days.external_entity_id,
        entity_days.event_date,
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
        target.events,
        count(*) as evidence_weeks,
        {{ exact_median('earlier.value') }} as median,
        {{ exact_median('earlier.events') }} as usual_events,
        array_agg(earlier.value) as earlier_values
    from observed as target
    cross join generate_series(1, {{ var('anomaly_baseline_weeks') }}) as weeks (week_number)
    inner join observed as earlier
        on
            target.level = earlier.level
            and target.external_entity_id = earlier.external_entity_id
            and target.measure = earlier.measure
            and target.event_date - 7 * weeks.week_number = earlier.event_date
    where {{ in_window('target.event_date', '1') }}
    group by
        target.level,
        target.account_id,
        target.external_entity_id,
        target.event_date,
        target.measure,
        target.value,
        target.events
    having
        count(*) >= {{ var('anomaly_minimum_evidence') }}
        and {{ exact_median('earlier.value') }} > 0
),

-- Changes are factors: a third is as far from normal as three times. So distances are those of
-- logarithms, in units of the median absolute deviation, which is never taken for less than
-- {{ smallest_spread }}: a flat history must not turn a ripple into an alarm. Nothing counts as a
-- fiftieth.
scored as (
    select
        baselines.*,
        distance.log_ratio,
        round(
            (
                distance.log_ratio
                / sqrt(
                    greatest(1.4826 * spread.mad, {{ smallest_spread }}) ^ 2
                    -- The variance of counting, of the day and of its median: ten purchases are
                    -- soon eight or twelve.
                    + case
                        when baselines.usual_events is null then 0
                        else 1.3 / greatest(baselines.usual_events::double precision, 0.5)
                    end
                )
            )::numeric,
            2
        ) as score,
        round(100 * (baselines.value - baselines.median) / baselines.median, 1) as change_percent
    from baselines
    cross join
        lateral (
            select ln(greatest(baselines.value / baselines.median, 0.02)::double precision)
                as log_ratio
        ) as distance
    cross join
        lateral (
            select
                percentile_cont(0.5) within group (
                    order by abs(ln(greatest(earlier.value / baselines.median, 0.02)::float8))
                ) as mad
            from unnest(baselines.earlier_values) as earlier (value)
        ) as spread
),

unusual as (
    select
        scored.*,
        case
            when scored.value = 0 then 'stopped'
            when scored.score > 0 then 'spike'
            else 'drop'
        end as kind
    from scored
    where
        abs(scored.score) >= {{ var('anomaly_minimum_score') }}
        and abs(scored.log_ratio) >= ln({{ var('anomaly_minimum_factor') }})
        -- A handful of conversions comes and goes.
        and (
            scored.measure not in ({{ text_list(conversions) }})
            or greatest(scored.usual_events, scored.events) >= {{ smallest_conversions }}
        )
),

-- A campaign's spend on a day whose daily budget is known. Meta may spend up to 75 % over it.
beyond_budget as (
    select
        active.level,
        active.account_id,
        active.external_entity_id,
        active.event_date,
        active.spend,
        max(history.daily_budget) as daily_budget
    from active
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on active.account_id = accounts.account_id
    inner join whole_days
        on active.account_id = whole_days.account_id and active.event_date = whole_days.event_date
    inner join {{ ref('entity_history') }} as history
        on
            active.level = history.level
            and active.external_entity_id = history.external_entity_id
            and tstzrange(history.valid_from, history.valid_to) && tstzrange(
                active.event_date::timestamp at time zone accounts.timezone,
                (active.event_date + 1)::timestamp at time zone accounts.timezone
            )
    where active.level = 'campaign' and {{ in_window('active.event_date', '1') }}
    group by
        active.level,
        active.account_id,
        active.external_entity_id,
        active.event_date,
        active.spend
    -- Each version of the day must name a budget.
    having
        active.spend > 1.75 * max(history.daily_budget)
        and count(*) = count(history.daily_budget)
        and max(history.daily_budget) > 0
),

candidates as (
    select
        level,
        account_id,
        external_entity_id,
        event_date,
        measure,
        kind,
        value,
        median as expected,
        score,
        log_ratio,
        change_percent,
        evidence_weeks
    from unusual
    union all
    select
        level,
        account_id,
        external_entity_id,
        event_date,
        'spend' as measure,
        'over_budget' as kind,
        spend as value,
        daily_budget as expected,
        null as score,
        ln((spend / daily_budget)::double precision) as log_ratio,
        round(100 * (spend - daily_budget) / daily_budget, 1) as change_percent,
        null as evidence_weeks
    from beyond_budget
),

-- One story for an object's day: its cause leads, what follows from it is named beside it.
ranked as (
    select
        candidates.*,
        row_number() over story as position,
        string_agg(measure, ', ') over related as related_measures,
        string_agg(
            {{ measure_label('measure') }}
            || ' (' || to_char(change_percent, 'FMSG999999990') || ' %)', ', '
        ) over related as related_text
    from candidates
    window
        story as (
            partition by level, external_entity_id, event_date
            order by
                case
                    when measure = 'impressions' and kind = 'stopped' then 1
                    when kind = 'over_budget' then 2
                    else array_position(
                        array[
                            'spend', 'cpm', 'ctr', 'impressions', 'clicks', 'cpc',
                            'purchases', 'leads', 'revenue'
                        ],
                        measure
                    ) + 2
                end
        ),
        related as (story rows between 1 following and unbounded following)
),

stories as (
    select
        ranked.*,
        lag(event_date) over (
            partition by level, external_entity_id, measure, kind
            order by event_date
        ) = event_date - 1 as goes_on
    from ranked
    where position = 1
)

select
    'meta:' || stories.level || ':' || stories.external_entity_id || ':' || stories.event_date
        as anomaly_key,
    accounts.workspace_id,
    stories.account_id,
    stories.level,
    stories.external_entity_id,
    stories.event_date,
    stories.measure,
    stories.kind,
    stories.value,
    round(stories.expected, 6) as expected,
    stories.score,
    stories.change_percent,
    stories.evidence_weeks,
    stories.related_measures,
    initcap(stories.level) || ' ' || stories.external_entity_id || ': '
    || case
        when stories.kind = 'over_budget'
            then
                'spent ' || trim_scale(round(stories.value, 2)) || ' on ' || stories.event_date
                || ', more than 75 % over its daily budget of '
                || trim_scale(round(stories.expected, 2))
        else
            case
                when stories.kind = 'stopped' and stories.measure = 'impressions'
                    then 'delivery stopped: no impressions on ' || stories.event_date
                when stories.kind = 'stopped'
                    then
                        'no ' || {{ measure_label('stories.measure') }}
                        || ' on ' || stories.event_date
                else
                    {{ measure_label('stories.measure') }}
                    || case when stories.measure like '%s' then ' were ' else ' was ' end
                    || trim_scale(round(stories.value, 2)) || ' on '
                    || stories.event_date
            end
            || ', usually ' || trim_scale(round(stories.expected, 2)) || ' on a '
            || to_char(stories.event_date, 'FMDay')
            || case
                when stories.kind = 'stopped' then ''
                else ' (' || to_char(stories.change_percent, 'FMSG999999990') || ' %)'
            end
            || ', by the last ' || stories.evidence_weeks || ' weeks'
    end
    || coalesce('; with it: ' || stories.related_text, '') as sentence
from stories
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on stories.account_id = accounts.account_id
-- A campaign that does what its whole account does adds nothing; one that does more does.
left join stories as whole
    on
        stories.level = 'campaign'
        and whole.level = 'account'
        and stories.account_id = whole.account_id
        and stories.event_date = whole.event_date
        and stories.measure = whole.measure
        and stories.kind = whole.kind
        and abs(stories.log_ratio) <= 1.25 * abs(whole.log_ratio)
where
    {{ in_window('stories.event_date') }}
    and stories.goes_on is not true
    and whole.event_date is null

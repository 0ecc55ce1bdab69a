{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    unique_key='anomaly_key',
    meta={'spans_dates': true},
    indexes=[{'columns': ['anomaly_key'], 'unique': true}]
) }}

{%- set entity = ['level', 'account_id', 'external_entity_id'] -%}
{%- set ratios = text_list(['ctr', 'cpc', 'cpm']) -%}
{%- set volume = text_list(['spend', 'impressions', 'clicks']) -%}
{%- set window = window_bounds() -%}
{%- set is_bounded = is_incremental() and window.start -%}
{%- set sources = {
    'days': ref('int_meta__anomaly_days'),
    'budgets': ref('int_meta__anomaly_budgets'),
    'hours': ref('int_meta__anomaly_hours'),
} %}

-- One episode per entity, cause and stretch of time, from all that is far from usual.
{% if is_bounded %}
    -- Back from the run's dates, for as long as an entity was unusual without a gap, and its account
    -- beside it: what touches the run's dates has begun by then. `days`: those that a row is about.
    with recursive unusual as not materialized (
        {% for name, relation in sources.items() %}
            select
                {{ entity | join(', ') }},
                event_date,
                {{ "case period when 'week' then 7 else 1 end" if name == 'budgets' else 1 }} as days
            from {{ relation }}
            {{ 'union all' if not loop.last }}
        {% endfor %}
    ),

    stretches as (
        select
            {{ entity | join(', ') }},
            min(event_date) as first_date
        from unusual
        where event_date >= date '{{ window.start }}' - 1
        group by {{ entity | join(', ') }}
        union
        select earlier.*
        from stretches
        cross join
            lateral (
                select
                    stretches.level,
                    stretches.account_id,
                    stretches.external_entity_id,
                    max(unusual.event_date) as first_date
                from unusual
                where
                    unusual.level = stretches.level
                    and unusual.external_entity_id = stretches.external_entity_id
                    and unusual.event_date
                    between stretches.first_date - 7 and stretches.first_date - 1
                    and unusual.event_date >= stretches.first_date - unusual.days
                having count(*) > 0
                union all
                select
                    'account' as level,
                    stretches.account_id,
                    stretches.account_id as external_entity_id,
                    stretches.first_date
                where stretches.level <> 'account'
            ) as earlier
    ),
{% else %}
    with
{% endif %}

{% for name, relation in sources.items() %}
    {{ name }} as (
        select {{ name }}.*
        from {{ relation }} as {{ name }}
        {% if is_bounded -%}
            where {{ name }}.event_date >= (select min(stretches.first_date) from stretches)
        {%- endif %}
    ),

{% endfor -%}
-- Campaigns that had ended before their first pull: at their scheduled end, at that of their last
-- ad set, or at an unknown time where the pull found none of their ads running.
ad_ends as (
    select
        ads.campaign_id,
        case when bool_and(adsets.ends_at is not null) then max(adsets.ends_at) end as ended_at,
        case
            when bool_and(first_state.effective_status in ({{ text_list(not_running_statuses()) }}))
                then max(first_state.valid_from)
        end as ended_by
    from {{ ref('dim_ads') }} as ads
    inner join {{ ref('dim_adsets') }} as adsets on ads.adset_id = adsets.adset_id
    left join
        lateral (
            select
                history.effective_status,
                history.valid_from
            from {{ ref('entity_history') }} as history
            where history.level = 'ad' and history.external_entity_id = ads.ad_id
            order by history.valid_from
            limit 1
        ) as first_state
        on true
    group by ads.campaign_id
),

ended as (
    select
        campaigns.campaign_id,
        case
            when least(campaigns.ends_at, ad_ends.ended_at) <= campaigns.first_seen_at
                then least(campaigns.ends_at, ad_ends.ended_at)
        end as ended_at,
        ad_ends.ended_by
    from {{ ref('dim_campaigns') }} as campaigns
    left join ad_ends on campaigns.campaign_id = ad_ends.campaign_id
),

found as (
    select
        'day' as grain,
        {{ entity | join(', ') }},
        event_date,
        null::smallint as event_hour,
        starts_at,
        ends_at,
        measure,
        kind,
        null::text as period,
        value,
        expected,
        expected_low,
        expected_high,
        null::numeric as weight,
        score,
        log_ratio,
        null::numeric as surprise,
        evidence_weeks
    from days
    union all
    select
        'day' as grain,
        {{ entity | join(', ') }},
        event_date,
        null::smallint as event_hour,
        starts_at,
        ends_at,
        'spend' as measure,
        'over_budget' as kind,
        period,
        value,
        budget as expected,
        null as expected_low,
        allowed as expected_high,
        null as weight,
        null as score,
        log_ratio,
        null as surprise,
        null as evidence_weeks
    from budgets
    union all
    select
        'hour' as grain,
        {{ entity | join(', ') }},
        event_date,
        event_hour,
        starts_at,
        ends_at,
        measure,
        kind,
        null as period,
        value,
        expected,
        expected_low,
        expected_high,
        weight,
        score,
        log_ratio,
        surprise,
        evidence_weeks
    from hours
    -- Hours of a day that is unusual as a whole are part of that.
    where
        not exists (
            select 1
            from {{ sources['days'] }} as days
            where
                days.level = hours.level
                and days.external_entity_id = hours.external_entity_id
                and days.event_date = hours.event_date
        )
        and not exists (
            select 1
            from {{ sources['budgets'] }} as budgets
            where
                budgets.level = hours.level
                and budgets.external_entity_id = hours.external_entity_id
                and budgets.event_date = hours.event_date
                and budgets.period = 'day'
        )
),

points as (
    select found.*
    from found
    where
        found.kind <> 'stopped'
        or not exists (
            select 1
            from ended
            where
                found.level = 'campaign'
                and found.external_entity_id = ended.campaign_id
                and (found.ends_at > ended.ended_at or found.starts_at < ended.ended_by)
        )
),

-- Consecutive hours that are off in the same way are strong evidence together, one alone is not.
measure_runs as (
    select
        points.*,
        sum(is_first) over measure_in_time as measure_run
    from (
        select
            points.*,
            (
                lag(ends_at) over (
                    partition by grain, {{ entity | join(', ') }}, measure, kind, period
                    order by starts_at
                ) is distinct from starts_at
            )::int as is_first
        from points
    ) as points
    window
        measure_in_time as (
            partition by grain, {{ entity | join(', ') }}, measure, kind, period
            order by starts_at
        )
),

evident as (
    select judged.*
    from (
        select
            measure_runs.*,
            count(*) over whole_run as run_length,
            sum(surprise) over whole_run as run_surprise,
            max(abs(score)) over whole_run as run_score
        from measure_runs
        window
            whole_run as (
                partition by
                    grain, {{ entity | join(', ') }}, measure, kind, period, measure_run
            )
    ) as judged
    where
        grain = 'day'
        or case
            when kind = 'stopped'
                then coalesce(run_surprise, 0) >= {{ var('anomaly_minimum_surprise') }}
            -- An ad that pauses for an hour or two is no news.
            when kind = 'drop' and measure in ({{ volume }}) then run_length > 2
            else run_length > 1 or run_score >= {{ var('anomaly_hour_single_score') }}
        end
),

-- Of each moment the cause leads, what follows from it is named beside it.
ranked as (
    select
        evident.*,
        row_number() over causes as position,
        string_agg(measure, ', ') over related as related_measures,
        string_agg(
            {{ measure_label('measure') }} || ' (' || {{ change_text('value', 'expected') }} || ')',
            ', '
        ) over related as related_text
    from evident
    window
        causes as (
            partition by grain, {{ entity | join(', ') }}, nullif(period, 'day'), starts_at
            order by {{ cause_rank('measure', 'kind') }}
        ),
        related as (causes rows between 1 following and unbounded following)
),

leads as (
    select
        ranked.*,
        sum(is_new) over (
            partition by grain, {{ entity | join(', ') }}, measure, kind, period
            order by starts_at
        ) as episode
    from (
        select
            ranked.*,
            (
                lag(ends_at) over (
                    partition by grain, {{ entity | join(', ') }}, measure, kind, period
                    order by starts_at
                ) is distinct from starts_at
            )::int as is_new
        from ranked
        where position = 1
    ) as ranked
),

-- An episode of days tells its first day, one of hours all of them together.
episodes as (
    select
        grain,
        {{ entity | join(', ') }},
        measure,
        kind,
        period,
        min(starts_at) as starts_at,
        max(ends_at) as ends_at,
        min(event_date) as event_date,
        max(event_date) as last_date,
        {{ first_of('event_hour') }} as event_hour,
        (array_agg(event_hour order by starts_at desc))[1] as last_hour,
        count(*) as stretch,
        {% for amount in ['value', 'expected', 'expected_low', 'expected_high'] %}
            case
                when grain = 'day' then {{ first_of(amount) }}
                when measure in ({{ ratios }}) then sum({{ amount }} * weight) / sum(weight)
                else sum({{ amount }})
            end as {{ amount }},
        {% endfor %}
        case
            when grain = 'day' then {{ first_of('score') }}
            when kind = 'stopped' then -round(sqrt(2 * sum(surprise)), 2)
            else (array_agg(score order by abs(score) desc))[1]
        end as score,
        (array_agg(log_ratio order by abs(log_ratio) desc))[1] as furthest,
        {{ first_of('log_ratio') }} as log_ratio,
        min(evidence_weeks) as evidence_weeks,
        {{ first_of('related_measures') }} as related_measures,
        {{ first_of('related_text') }} as related_text
    from leads
    group by grain, {{ entity | join(', ') }}, measure, kind, period, episode
)

select
    'meta:' || episodes.level || ':' || episodes.external_entity_id || ':' || episodes.event_date
    || coalesce(
        'T' || to_char(episodes.event_hour, 'FM00'), ':' || nullif(episodes.period, 'day'), ''
    ) as anomaly_key,
    episodes.grain,
    episodes.level,
    episodes.account_id,
    episodes.external_entity_id,
    episodes.measure,
    episodes.kind,
    episodes.period as budget_period,
    episodes.starts_at,
    episodes.ends_at,
    episodes.event_date,
    episodes.last_date,
    episodes.event_hour,
    episodes.last_hour,
    episodes.stretch,
    round(episodes.value, 6) as value,
    round(episodes.expected, 6) as expected,
    round(episodes.expected_low, 6) as expected_low,
    round(episodes.expected_high, 6) as expected_high,
    episodes.score,
    episodes.log_ratio,
    episodes.evidence_weeks,
    episodes.related_measures,
    episodes.related_text
from episodes
where
    {{ touches_window('episodes', is_bounded) }}
    -- A fall of clicks in the hour after a fall of spend is the same fall.
    and not exists (
        select 1
        from episodes as cause
        where
            episodes.grain = 'hour'
            and cause.grain = 'hour'
            and cause.level = episodes.level
            and cause.external_entity_id = episodes.external_entity_id
            and cause.starts_at <= episodes.ends_at
            and cause.ends_at >= episodes.starts_at
            and sign(cause.log_ratio) = sign(episodes.log_ratio)
            and {{ cause_rank('cause.measure', 'cause.kind') }}
            < {{ cause_rank('episodes.measure', 'episodes.kind') }}
    )
    -- A campaign that does what its whole account does adds nothing; one that does more does.
    and not exists (
        select 1
        from episodes as whole
        where
            episodes.level = 'campaign'
            and whole.level = 'account'
            and whole.account_id = episodes.account_id
            and whole.grain in (episodes.grain, 'day')
            and whole.starts_at < episodes.ends_at
            and whole.ends_at > episodes.starts_at
            and whole.kind = episodes.kind
            and (
                whole.measure = episodes.measure
                or (
                    episodes.grain = 'hour'
                    and whole.measure in ({{ volume }})
                    and episodes.measure in ({{ volume }})
                )
            )
            and abs(episodes.log_ratio) <= 1.25 * abs(whole.furthest)
    )

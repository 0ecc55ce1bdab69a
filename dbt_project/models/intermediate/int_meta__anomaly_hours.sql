{{ config(
    materialized='incremental',
    incremental_strategy='replace_window',
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    pre_hook='{{ hash_joins_only() }}',
    unique_key=['level', 'external_entity_id', 'event_date', 'event_hour', 'measure'],
    meta={
        'kept_rows': waits_for_agreement('old.measure'),
        'ahead_days': judged_ahead(),
        'is_by_weekday': true
    },
    indexes=[
        {
            'columns': ['level', 'external_entity_id', 'event_date', 'event_hour', 'measure'],
            'unique': true
        },
        {'columns': ['event_date']}
    ]
) }}

{%- set weeks = var('anomaly_baseline_weeks') -%}
{%- set lookback = '7 * ' ~ weeks -%}
{%- set grace = "interval '" ~ var('anomaly_hour_grace_minutes') ~ " minutes'" -%}
{%- set fewest = var('anomaly_minimum_impressions') -%}
{%- set smallest_spread = 0.2 -%}
{%- set entity = ['level', 'account_id', 'external_entity_id'] %}

-- The dates to judge and the same weekdays before them. Nothing else is read, however long the
-- history.
with agreed as materialized (
    select
        agreed.account_id,
        agreed.event_date
    from {{ ref('int_meta__agreed_account_days') }} as agreed
    where
        {{ in_window('agreed.event_date', lookback, judged_ahead()) }}
        and {{ on_weekdays_of_window('agreed.event_date') }}
        and not {{ is_held_in_part("'impressions'") }}
),

-- Hours that were over, and Meta done with counting, when they were pulled. Clocks change: an hour
-- label may last for 0, 30, 60, 90 or 120 minutes.
hours as materialized (
    select
        agreed.account_id,
        agreed.event_date,
        extract(hour from steps.at at time zone accounts.timezone)::smallint as event_hour,
        min(steps.at) as starts_at,
        max(steps.at) + interval '30 minutes' as ends_at,
        0.5::double precision * count(*) as length
    from agreed
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on agreed.account_id = accounts.account_id
    inner join {{ ref('stg_meta__slices') }} as slices
        on
            agreed.account_id = slices.account_id
            and agreed.event_date = slices.event_date
            and slices.asset = 'insights_hourly'
    cross join
        lateral generate_series(
            agreed.event_date::timestamp at time zone accounts.timezone,
            (agreed.event_date + 1)::timestamp at time zone accounts.timezone
            - interval '30 minutes',
            interval '30 minutes'
        ) as steps (at)
    where {{ in_window('slices.event_date', lookback, judged_ahead()) }}
    group by
        agreed.account_id,
        agreed.event_date,
        extract(hour from steps.at at time zone accounts.timezone),
        slices.pulled_at
    having max(steps.at) + interval '30 minutes' + {{ grace }} <= slices.pulled_at
),

active as materialized (
    {% for level, rollup in [('account', 'account_hourly'), ('campaign', 'campaign_hourly')] %}
        select
            '{{ level }}' as level,
            account_id,
            {{ level }}_id as external_entity_id,
            event_date,
            event_hour,
            spend,
            impressions,
            clicks
        from {{ ref(rollup) }}
        where
            provider = 'meta'
            and {{ in_window('event_date', lookback, judged_ahead()) }}
            and event_date = any(array(select distinct agreed.event_date from agreed))
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

entities as (
    select
        {{ entity | join(', ') }},
        min(event_date) as first_date
    from active
    group by {{ entity | join(', ') }}
),

-- Each date since an entity began, with the last one like it on which it delivered.
entity_dates as (
    select
        entities.level,
        entities.account_id,
        entities.external_entity_id,
        agreed.event_date,
        max(delivered.event_date) over (
            partition by
                entities.level, entities.external_entity_id, extract(isodow from agreed.event_date)
            order by agreed.event_date
        ) as last_active
    from entities
    inner join agreed
        on entities.account_id = agreed.account_id and entities.first_date <= agreed.event_date
    left join (
        select distinct
            level,
            external_entity_id,
            event_date
        from active
    ) as delivered
        on
            entities.level = delivered.level
            and entities.external_entity_id = delivered.external_entity_id
            and agreed.event_date = delivered.event_date
),

-- Every such hour of them, as amounts per full hour: an hour without a row is an hour without
-- delivery.
entity_hours as materialized (
    select
        entity_dates.level,
        entity_dates.account_id,
        entity_dates.external_entity_id,
        entity_dates.last_active,
        hours.event_date,
        hours.event_hour,
        hours.starts_at,
        hours.ends_at,
        hours.length,
        coalesce(active.spend / hours.length, 0)::double precision as spend,
        coalesce(active.impressions / hours.length, 0)::double precision as impressions,
        coalesce(active.clicks / hours.length, 0)::double precision as clicks
    from entity_dates
    inner join hours
        on
            entity_dates.account_id = hours.account_id
            and entity_dates.event_date = hours.event_date
    left join active
        on
            entity_dates.level = active.level
            and entity_dates.external_entity_id = active.external_entity_id
            and hours.event_date = active.event_date
            and hours.event_hour = active.event_hour
),

-- The same hour of the same weekday in the weeks before.
histories as (
    select
        entity_hours.*,
        array_agg(spend) over weeks_before as earlier_spend,
        array_agg(impressions) over weeks_before as earlier_impressions,
        array_agg(clicks) over weeks_before as earlier_clicks,
        array_agg(last_active) over weeks_before as earlier_active
    from entity_hours
    window
        weeks_before as (
            partition by level, external_entity_id, event_hour, extract(isodow from event_date)
            order by event_date
            range between interval '{{ 7 * weeks }} days' preceding and interval '7 days' preceding
        )
),

baselines as (
    select
        histories.*,
        usual.*
    from histories
    cross join
        lateral (
            select
                count(*) as evidence_weeks,
                count(*) filter (where impressions = 0) as empty_weeks,
                percentile_cont(array[0.25, 0.5, 0.75]) within group (order by impressions)
                    as quartiles,
                percentile_cont(0.5) within group (order by spend) as usual_spend,
                percentile_cont(0.5) within group (order by clicks) as usual_clicks,
                percentile_cont(0.5) within group (
                    order by 100 * clicks / nullif(impressions, 0)
                ) filter (where impressions >= {{ fewest }}) as usual_ctr,
                percentile_cont(0.5) within group (
                    order by 1000 * spend / nullif(impressions, 0)
                ) filter (where impressions >= {{ fewest }}) as usual_cpm,
                percentile_cont(0.5) within group (
                    order by spend / nullif(clicks, 0)
                ) filter (where impressions >= {{ fewest }}) as usual_cpc
            from
                unnest(
                    histories.earlier_spend,
                    histories.earlier_impressions,
                    histories.earlier_clicks,
                    histories.earlier_active
                ) as weeks (spend, impressions, clicks, last_active)
            where {{ has_begun('weeks', 'histories') }}
        ) as usual
    where
        usual.evidence_weeks >= {{ var('anomaly_minimum_evidence') }}
        and {{ in_window('histories.event_date', 0, judged_ahead()) }}
),

-- What eight values cannot tell, the hours around them help to: how much this entity's hours
-- usually scatter, and how often they are empty.
surroundings as (
    select
        baselines.*,
        avg(
            ln(greatest(quartiles[3], 1) / greatest(quartiles[1], 1)) / 1.349
        ) over nearby as usual_scatter,
        (sum(empty_weeks) over nearby + 0.5)
        / (sum(evidence_weeks) over nearby + 1) as chance_of_empty
    from baselines
    window
        nearby as (
            partition by level, external_entity_id, event_date
            order by event_hour
            rows between 3 preceding and 3 following
        )
),

-- `events` are what a measure is expected to rest on at the hour's own denominator.
observed as (
    select
        cells.*,
        measures.measure,
        measures.value,
        measures.expected,
        measures.events,
        measures.weight,
        case when measures.weight is null then cells.length else 1 end as hours_counted,
        {{ log_ratio('measures.value', 'measures.expected') }} as log_ratio
    from surroundings as cells
    cross join
        lateral (
            values
            ('spend', cells.spend, cells.usual_spend, cells.quartiles[2], null::numeric),
            ('impressions', cells.impressions, cells.quartiles[2], cells.quartiles[2], null),
            ('clicks', cells.clicks, cells.usual_clicks, cells.usual_clicks, null),
            (
                'ctr',
                100 * cells.clicks / nullif(cells.impressions, 0),
                cells.usual_ctr,
                cells.impressions * cells.length * cells.usual_ctr / 100,
                (cells.impressions * cells.length)::numeric
            ),
            (
                'cpm',
                1000 * cells.spend / nullif(cells.impressions, 0),
                cells.usual_cpm,
                cells.impressions * cells.length,
                (cells.impressions * cells.length)::numeric
            ),
            (
                'cpc',
                cells.spend / nullif(cells.clicks, 0),
                cells.usual_cpc,
                cells.impressions * cells.length * cells.usual_ctr / 100,
                (cells.clicks * cells.length)::numeric
            )
        ) as measures (measure, value, expected, events, weight)
    where
        measures.expected > 0
        and measures.value is not null
        and case
            when measures.measure in ('ctr', 'cpc')
                then
                    measures.events >= {{ var('anomaly_minimum_clicks') }}
                    and cells.impressions * cells.length >= {{ fewest }}
            when measures.measure = 'cpm' then cells.impressions * cells.length >= {{ fewest }}
            -- Of an hour without delivery only that is told.
            else measures.measure = 'impressions' or cells.impressions > 0
        end
),

far as (
    select
        observed.*,
        floors.least_spread
    from observed
    cross join
        lateral (
            select
                case
                    when observed.measure in ('ctr', 'cpc', 'cpm') then {{ smallest_spread }}
                    else greatest(observed.usual_scatter, {{ smallest_spread }})
                end as least_spread
        ) as floors
    where
        observed.impressions = 0
        or abs(observed.log_ratio) >= greatest(
            ln({{ var('anomaly_minimum_factor') }}),
            {{ var('anomaly_hour_run_score') }} * floors.least_spread
        )
),

scored as (
    select
        far.*,
        sqrt(
            greatest(1.4826 * scatter.mad, far.least_spread) ^ 2
            -- The variance of counting.
            + 1.3 / greatest(far.events, 0.5)
        ) as spread
    from far
    cross join
        lateral (
            select
                percentile_cont(0.5) within group (
                    order by abs({{ log_ratio('earlier.value', 'far.expected') }})
                ) as mad
            from (
                select
                    case far.measure
                        when 'spend' then parts.spend
                        when 'impressions' then parts.impressions
                        when 'clicks' then parts.clicks
                        when 'ctr' then 100 * parts.clicks / nullif(parts.impressions, 0)
                        when 'cpm' then 1000 * parts.spend / nullif(parts.impressions, 0)
                        else parts.spend / nullif(parts.clicks, 0)
                    end as value
                from
                    unnest(
                        far.earlier_spend,
                        far.earlier_impressions,
                        far.earlier_clicks,
                        far.earlier_active
                    ) as parts (spend, impressions, clicks, last_active)
                where
                    {{ has_begun('parts', 'far') }}
                    and (
                        far.measure in ('spend', 'impressions', 'clicks')
                        or parts.impressions >= {{ fewest }}
                    )
            ) as earlier
            where earlier.value is not null
        ) as scatter
)

select
    level,
    account_id,
    external_entity_id,
    event_date,
    event_hour,
    starts_at,
    ends_at,
    measure,
    {{ anomaly_kind('value', 'log_ratio') }} as kind,
    round((value * hours_counted)::numeric, 6) as value,
    round((expected * hours_counted)::numeric, 6) as expected,
    {{ usual_bound('expected * hours_counted', 'spread', -1) }} as expected_low,
    {{ usual_bound('expected * hours_counted', 'spread', 1) }} as expected_high,
    round(weight, 2) as weight,
    round((log_ratio / spread)::numeric, 2) as score,
    round(log_ratio::numeric, 4) as log_ratio,
    case when impressions = 0 then round(-ln(chance_of_empty)::numeric, 2) end as surprise,
    evidence_weeks
from scored
where abs(log_ratio / spread) >= {{ var('anomaly_hour_run_score') }} or impressions = 0

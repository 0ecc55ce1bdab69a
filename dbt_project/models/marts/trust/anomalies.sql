{{ config(
    unique_key='anomaly_key',
    on_schema_change='append_new_columns',
    pre_hook='{{ forget_anomalies_of_older_versions() }}',
    meta={'window_column': 'none', 'scope_columns': ['anomaly_key']},
    indexes=[
        {'columns': ['anomaly_key'], 'unique': true},
        {'columns': ['event_date']},
        {'columns': ['account_id', 'last_date']}
    ]
) }}

{%- set is_update = is_incremental() and not anomalies_are_of_an_older_version() -%}
{%- set columns = [
    'anomaly_key', 'workspace_id', 'account_id', 'level', 'external_entity_id', 'grain',
    'event_date', 'event_hour', 'last_date', 'last_hour', 'starts_at', 'ends_at', 'measure', 'kind',
    'budget_period', 'direction', 'value', 'expected', 'expected_low', 'expected_high', 'unit', 'score',
    'change_percent', 'evidence_weeks', 'related_measures', 'severity', 'explanation', 'sentence',
] %}

-- Episodes that the run's dates touch: one may go on from the day before, or into the day after.
with episodes as (
    select episodes.*
    from {{ ref('int_meta__anomaly_episodes') }} as episodes
    where {{ touches_window('episodes', is_update) }}
),

described as (
    select
        episodes.*,
        accounts.workspace_id,
        accounts.timezone,
        stops.explanation as known_reason,
        coalesce(
            stops.explanation,
            case
                when episodes.kind = 'stopped' and episodes.measure = 'impressions'
                    then 'no pause, end date or spent budget of its ads explains it'
            end
        ) as explanation,
        case when episodes.log_ratio > 0 then 'up' else 'down' end as direction,
        case
            when episodes.measure in ('spend', 'revenue', 'cpc', 'cpm') then accounts.currency
            when episodes.measure = 'ctr' then '%'
            else episodes.measure
        end as unit,
        case when offsets.minor_units = 1 then 0 else 2 end as money_decimals,
        initcap(replace(episodes.level, 'adset', 'ad set')) || ' '
        || coalesce(
            '"' || entities.name || '" (' || episodes.external_entity_id || ')',
            episodes.external_entity_id
        ) as subject
    from episodes
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on episodes.account_id = accounts.account_id
    left join {{ ref('currency_offsets') }} as offsets on accounts.currency = offsets.currency
    left join {{ ref('entities') }} as entities
        on
            episodes.level = entities.level
            and episodes.external_entity_id = entities.external_entity_id
    left join {{ ref('int_meta__anomaly_stops') }} as stops
        on episodes.anomaly_key = stops.anomaly_key
),

-- When the numbers that say so were pulled, or, of dates without any, those before. Not when this
-- model ran: that would change every row in every run.
told as (
    select
        described.*,
        pulls.seen_at,
        round(100 * (described.value - described.expected) / described.expected, 1)
            as change_percent,
        {{ anomaly_severity() }} as severity,
        described.subject || ': ' || {{ anomaly_sentence() }} as sentence
    from described
    cross join
        lateral (
            select
                coalesce(
                    max(daily.pulled_at) filter (
                        where daily.event_date >= described.event_date
                    ),
                    max(daily.pulled_at)
                ) as seen_at
            from {{ ref('account_daily') }} as daily
            where
                daily.provider = 'meta'
                and daily.account_id = described.account_id
                and daily.event_date between described.event_date - 7 and described.last_date
        ) as pulls
),

earlier as (
    {% if is_update %}
        select earlier.*
        from {{ this }} as earlier
        where {{ touches_window('earlier') }}
    {% else %}
        select
            told.*,
            'open' as status,
            told.seen_at as first_seen_at,
            told.seen_at as last_seen_at,
            told.seen_at as resolved_at,
            null::text as resolution
        from told
        where false
    {% endif %}
)

-- What was reported of the same object and time before is the same anomaly, seen since then.
select
    told.{{ columns | join(',\n    told.') }},
    'open' as status,
    least(told.seen_at, known.first_seen_at) as first_seen_at,
    told.seen_at as last_seen_at,
    null::timestamptz as resolved_at,
    null::text as resolution
from told
cross join
    lateral (
        select min(earlier.first_seen_at) as first_seen_at
        from earlier
        where
            earlier.level = told.level
            and earlier.external_entity_id = told.external_entity_id
            and earlier.starts_at < told.ends_at
            and earlier.ends_at > told.starts_at
    ) as known
union all
-- What was reported and is no longer so stays, resolved: Meta restated the numbers, or it became
-- part of a longer episode.
select
    earlier.{{ columns | join(',\n    earlier.') }},
    'resolved' as status,
    earlier.first_seen_at,
    earlier.last_seen_at,
    coalesce(earlier.resolved_at, since.pulled_at, earlier.last_seen_at) as resolved_at,
    coalesce(
        earlier.resolution,
        case
            when
                exists (
                    select 1
                    from told
                    where
                        told.level = earlier.level
                        and told.external_entity_id = earlier.external_entity_id
                        and told.starts_at < earlier.ends_at
                        and told.ends_at > earlier.starts_at
                )
                then 'merged'
            else 'restated'
        end
    ) as resolution
from earlier
cross join
    lateral (
        select
            coalesce(
                max(daily.pulled_at) filter (where daily.event_date >= earlier.event_date),
                max(daily.pulled_at)
            ) as pulled_at
        from {{ ref('account_daily') }} as daily
        where
            daily.provider = 'meta'
            and daily.account_id = earlier.account_id
            and daily.event_date between earlier.event_date - 7 and earlier.last_date
    ) as since
where
    not exists (
        select 1
        from told
        where told.anomaly_key = earlier.anomaly_key
    )

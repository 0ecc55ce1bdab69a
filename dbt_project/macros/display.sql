{#- An hourly rollup's rows with the date and hour that their start has in the display timezone.

    Where that is the hour's own timezone, its date is `event_date`. Elsewhere
    `display_date` comes from a calendar and finds its rows by `event_date`, at most two dates away
    (offsets go from -12 to +14 hours). A filter on it so reads the dates that it needs, and where
    nobody chose a timezone the second part is not begun. -#}
{% macro hours_displayed(relation, columns) -%}
    select
        hourly.event_date as display_date,
        hourly.timezone as display_timezone,
        extract(hour from hourly.event_at at time zone hourly.timezone)::smallint as display_hour,
        hourly.{{ columns | join(',\n        hourly.') }}
    from {{ relation }} as hourly
    left join {{ ref('int_meta__display_timezones') }} as zones
        on hourly.workspace_id = zones.workspace_id
    where coalesce(zones.timezone, hourly.timezone) = hourly.timezone
    union all
    select
        calendar.display_date,
        zones.timezone as display_timezone,
        extract(hour from hourly.event_at at time zone zones.timezone)::smallint as display_hour,
        hourly.{{ columns | join(',\n        hourly.') }}
    from (
        select bounds.first_date + days.number as display_date
        from (
            select
                min(event_date) - 2 as first_date,
                max(event_date) + 2 as last_date
            from {{ relation }}
        ) as bounds
        cross join
            lateral generate_series(0, bounds.last_date - bounds.first_date) as days (number)
    ) as calendar
    cross join generate_series(-2, 2) as neighbours (days)
    inner join {{ relation }} as hourly
        on calendar.display_date + neighbours.days = hourly.event_date
    inner join {{ ref('int_meta__display_timezones') }} as zones
        on hourly.workspace_id = zones.workspace_id
    where
        zones.timezone <> hourly.timezone
        and (hourly.event_at at time zone zones.timezone)::date = calendar.display_date
        and exists (
            select from {{ ref('int_meta__display_timezones') }} as chosen
            where chosen.timezone is not null
        )
{%- endmacro %}

{#- A display day of accounts, or of what `keys` name: hours regrouped by the display timezone, and
    what is known by the day only on the account's own date of the same name. -#}
{% macro display_days(hourly, keys) -%}
{%- set keys = ['workspace_id', 'provider', 'account_id'] + keys -%}
{%- set measures = [
    'spend', 'impressions', 'clicks', 'link_clicks', 'purchases', 'revenue', 'leads', 'conversions'
] -%}
{%- set kept = keys + ['timezone', 'currency'] + measures + ['is_settled', 'pulled_at'] -%}
with hours as (
    {{ hours_displayed(hourly, kept) }}
),

days as (
    select
        facts.event_date as display_date,
        coalesce(zones.timezone, facts.timezone) as display_timezone,
        facts.{{ kept | join(',\n        facts.') }}
    from {{ ref('metric_facts') }} as facts
    left join {{ ref('int_meta__display_timezones') }} as zones
        on facts.workspace_id = zones.workspace_id
    where
        facts.event_hour is null
        {%- for key in keys[3:] %}
            and facts.{{ key }} is not null
        {%- endfor %}
),

parts as (
    select
        display_date,
        display_timezone,
        null::text as day_timezone,
        {{ kept | join(',\n        ') }}
    from hours
    union all
    select
        display_date,
        display_timezone,
        timezone as day_timezone,
        {{ kept | join(',\n        ') }}
    from days
),

summed as (
    select
        {{ keys | join(',\n        ') }},
        display_timezone,
        display_date,
        currency,
        {{ summed_measures() }},
        max(day_timezone) as day_timezone,
        bool_and(is_settled) as is_settled,
        max(pulled_at) as pulled_at
    from parts
    group by {{ keys | join(', ') }}, display_timezone, display_date, currency
),

dated as (
    select
        summed.*,
        coalesce(
            day_timezone,
            case
                when num_nonnulls(purchases, revenue, leads, conversions) > 0 then display_timezone
            end
        ) as conversions_timezone,
        -- One calendar under two names, as Paris and Berlin, is the same span of time.
        coalesce(
            (
                display_date::timestamp at time zone day_timezone,
                (display_date + 1)::timestamp at time zone day_timezone
            ) = (
                display_date::timestamp at time zone display_timezone,
                (display_date + 1)::timestamp at time zone display_timezone
            ),
            true
        ) as conversions_match_display_date
    from summed
)

select
    {{ keys | join(',\n    ') }},
    display_timezone,
    display_date,
    currency,
    {{ measures | join(',\n    ') }},
    conversions_timezone,
    conversions_match_display_date,
    {{ ratio('clicks', 'impressions', 100) }} as ctr,
    {{ ratio('spend', 'clicks') }} as cpc,
    {{ ratio('spend', 'impressions', 1000) }} as cpm,
    case when conversions_match_display_date then {{ ratio('spend', 'conversions') }} end as cpa,
    case when conversions_match_display_date then {{ ratio('revenue', 'spend') }} end as roas,
    is_settled,
    pulled_at
from dated
{%- endmacro %}

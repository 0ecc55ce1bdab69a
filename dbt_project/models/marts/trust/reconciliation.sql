{{ config(
    unique_key=['account_id', 'event_date', 'measure'],
    on_schema_change='append_new_columns',
    indexes=[
        {'columns': ['account_id', 'event_date', 'measure'], 'unique': true},
        {'columns': ['event_date']}
    ],
    pre_hook='{{ hash_joins_only() }}'
) }}

{%- set delivery = ['spend', 'impressions', 'clicks', 'link_clicks'] -%}
{%- set conversions = ['purchases', 'revenue', 'leads'] -%}

with pulls as (
    select
        account_id,
        event_date,
        timezone,
        has_hours,
        has_days,
        has_totals,
        hours_not_kept,
        is_complete,
        is_settled,
        last_pulled_at
    from {{ ref('stg_meta__account_days') }}
    where {{ in_window('event_date') }} and is_asked
),

hourly as (
    select
        account_id,
        event_date,
        ad_id,
        {% for measure in delivery %}coalesce(sum({{ measure }}), 0) as {{ measure }},
        {% endfor -%}
        max(pulled_at) as pulled_at
    from {{ ref('stg_meta__insights_hourly') }}
    where {{ in_window('event_date') }}
    group by account_id, event_date, ad_id
),

daily as (
    select
        account_id,
        event_date,
        ad_id,
        {% for measure in delivery %}coalesce({{ measure }}, 0) as {{ measure }},
        {% endfor -%}
        pulled_at
    from {{ ref('stg_meta__insights_daily') }}
    where {{ in_window('event_date') }}
),

-- One ad's hours against the same ad's day: two wrong ads must not cancel out.
ad_days as (
    select
        account_id,
        event_date,
        {% for measure in delivery -%}
            sum(hourly.{{ measure }}) as hourly_{{ measure }},
            sum(daily.{{ measure }}) as daily_{{ measure }},
            sum(abs(coalesce(hourly.{{ measure }}, 0) - coalesce(daily.{{ measure }}, 0)))
                as ad_delta_{{ measure }},
            count(*) filter (
                where coalesce(hourly.{{ measure }}, 0) <> coalesce(daily.{{ measure }}, 0)
            ) as ads_differing_{{ measure }},
        {% endfor -%}
        count(*) filter (
            where
            hourly.ad_id is null
            and (
                false
                {% for measure in delivery %}
                    or daily.{{ measure }} <> 0
                {% endfor %}
            )
        ) as ads_without_hours,
        count(*) filter (where daily.ad_id is null) as ads_without_day,
        greatest(max(hourly.pulled_at), max(daily.pulled_at)) as pulled_at
    from hourly
    full join daily using (account_id, event_date, ad_id)
    group by account_id, event_date
),

account_days as (
    select
        account_id,
        event_date,
        timezone,
        {{ delivery | join(', ') }},
        pulled_at
    from {{ ref('stg_meta__account_totals') }}
    where {{ in_window('event_date') }}
),

chosen as (
    select
        account_id,
        event_date,
        conversion as measure,
        source_field,
        action_type,
        sum(value) filter (where level = 'ad') as ad_total,
        count(*) filter (where level = 'account') > 0 as is_of_account
    from {{ ref('int_meta__conversions') }}
    where
        {{ in_window('event_date') }}
        and conversion in ({{ text_list(conversions) }})
    group by account_id, event_date, conversion, source_field, action_type
),

-- Which type of a conversion is chosen differs from ad to ad: the ads' choices add up to the
-- account's only by accident. What must agree is each type that anybody chose.
type_deltas as (
    select
        chosen.account_id,
        chosen.event_date,
        chosen.measure,
        chosen.ad_total,
        chosen.is_of_account,
        coalesce(totals.ads_total, 0) - coalesce(totals.account_total, 0) as delta
    from chosen
    left join {{ ref('int_meta__action_totals') }} as totals
        on
            chosen.account_id = totals.account_id
            and chosen.event_date = totals.event_date
            and chosen.source_field = totals.source_field
            and chosen.action_type = totals.action_type
            and {{ in_window('totals.event_date') }}
),

conversion_totals as (
    select
        account_id,
        event_date,
        measure,
        sum(ad_total) as ad_daily_total,
        coalesce(sum(ad_total), 0) - (array_agg(delta order by abs(delta) desc))[1] as account_total,
        not bool_or(is_of_account) as is_withheld
    from type_deltas
    group by account_id, event_date, measure
),

spine as (
    select
        account_id,
        event_date
    from pulls
    union
    select
        account_id,
        event_date
    from ad_days
    union
    select
        account_id,
        event_date
    from account_days
),

days as (
    select
        accounts.workspace_id,
        spine.account_id,
        spine.event_date,
        coalesce(pulls.has_hours, false) as has_hourly,
        coalesce(pulls.has_days, false) as has_daily,
        coalesce(pulls.has_totals, false) as has_account,
        coalesce(pulls.hours_not_kept, false) as hours_not_kept,
        coalesce(pulls.is_complete, false) as is_complete,
        coalesce(pulls.is_settled, false) as is_settled,
        greatest(
            coalesce(
                (pulls.last_pulled_at at time zone pulls.timezone)::date,
                {{ today_in('accounts.timezone') }}
            ) - spine.event_date,
            0
        ) as age_days
    from spine
    inner join {{ ref('stg_meta__ad_accounts') }} as accounts
        on spine.account_id = accounts.account_id
    left join pulls
        on spine.account_id = pulls.account_id and spine.event_date = pulls.event_date
),

measured as (
    {% for measure in delivery %}
        select
            days.*,
            '{{ measure }}' as measure,
            true as is_delivery,
            case when days.has_hourly then coalesce(ad_days.hourly_{{ measure }}, 0) end
                as hourly_total,
            case when days.has_daily then coalesce(ad_days.daily_{{ measure }}, 0) end
                as ad_daily_total,
            case when days.has_account then coalesce(account_days.{{ measure }}, 0) end
                as account_total,
            -- Without hours there is nothing that an ad's day could differ from.
            {% for column in ['ad_delta_' ~ measure, 'ads_differing_' ~ measure] -%}
                case
                    when days.hours_not_kept then 0 else coalesce(ad_days.{{ column }}, 0)
                end as {{ column | replace('_' ~ measure, '') }},
            {% endfor -%}
            coalesce(ad_days.ads_without_hours, 0) as ads_without_hours,
            coalesce(ad_days.ads_without_day, 0) as ads_without_day,
            false as is_withheld,
            greatest(ad_days.pulled_at, account_days.pulled_at) as pulled_at
        from days
        left join ad_days
            on days.account_id = ad_days.account_id and days.event_date = ad_days.event_date
        left join account_days
            on
                days.account_id = account_days.account_id
                and days.event_date = account_days.event_date
        union all
    {% endfor %}
    select
        days.*,
        measures.measure,
        false as is_delivery,
        null as hourly_total,
        case when days.has_daily then coalesce(totals.ad_daily_total, 0) end as ad_daily_total,
        case when days.has_account then coalesce(totals.account_total, 0) end as account_total,
        0 as ad_delta,
        0 as ads_differing,
        0 as ads_without_hours,
        0 as ads_without_day,
        -- Meta leaves conversions out above the ad where it may not tell them: of ads with a
        -- partner's catalogue, or where some of an account's iOS campaigns are.
        coalesce(totals.is_withheld, false) and account_days.account_id is not null as is_withheld,
        greatest(ad_days.pulled_at, account_days.pulled_at) as pulled_at
    from days
    cross join unnest(array[{{ text_list(conversions) }}]) as measures (measure)
    left join conversion_totals as totals
        on
            days.account_id = totals.account_id
            and days.event_date = totals.event_date
            and measures.measure = totals.measure
    left join ad_days
        on days.account_id = ad_days.account_id and days.event_date = ad_days.event_date
    left join account_days
        on
            days.account_id = account_days.account_id
            and days.event_date = account_days.event_date
),

compared as (
    select
        measured.*,
        (measured.has_hourly or measured.hours_not_kept)
        and measured.has_daily
        and measured.has_account as is_pulled,
        coalesce(measured.hourly_total - measured.account_total, 0) as hourly_delta,
        measured.ad_daily_total - measured.account_total as daily_delta,
        case
            when measured.is_settled then 0
            else coalesce(
                greatest(
                    abs(measured.account_total) * tolerances.tolerance_percent / 100,
                    tolerances.tolerance_absolute
                ),
                0
            )
        end as tolerance
    from measured
    left join {{ ref('reconciliation_tolerances') }} as tolerances
        on
            measured.measure = tolerances.measure
            and measured.age_days between tolerances.from_age_days and tolerances.to_age_days
),

judged as (
    select
        compared.*,
        case
            when not is_pulled then null
            when abs(hourly_delta) > abs(daily_delta) then hourly_delta
            else daily_delta
        end as delta,
        greatest(abs(hourly_delta), abs(daily_delta), ad_delta) as distance
    from compared
)

select
    workspace_id,
    account_id,
    event_date,
    measure,
    hourly_total,
    ad_daily_total,
    account_total,
    delta,
    case
        when not is_pulled then 'incomplete'
        -- Below a cent is equal: money has two decimals, counts have none.
        when distance < 0.01 then 'reconciled'
        -- An ad whose hours are all missing is no matter of minutes between two pulls.
        when is_delivery and ads_without_hours > 0 and age_days >= 2 and ads_differing > 0
            then 'mismatch'
        when distance <= tolerance then 'within_tolerance'
        when is_withheld then 'withheld'
        else 'mismatch'
    end as status,
    tolerance,
    case when is_pulled then ads_differing end as ads_differing,
    case
        when not is_pulled
            then 'not pulled: ' || concat_ws(
                ', ',
                case when not has_hourly and not hours_not_kept then 'insights_hourly' end,
                case when not has_daily then 'insights_daily' end,
                case when not has_account then 'account_totals' end
            )
        when distance >= 0.01 and distance > tolerance and is_withheld
            then
                'withheld above ad level: Meta reports ' || ad_daily_total
                || ' for the ads and none for the account'
        when distance >= 0.01
            then concat_ws(
                '; ',
                case
                    when is_delivery and hourly_delta <> 0
                        then 'hours are ' || hourly_delta || ' off the account total'
                end,
                case
                    when daily_delta <> 0
                        then 'ad days are ' || daily_delta || ' off the account total'
                end,
                case
                    when ads_differing > 0
                        then
                            ads_differing || ' ads differ between hours and day, '
                            || ads_without_hours || ' without hours, '
                            || ads_without_day || ' without a day'
                end
            )
    end as reason,
    is_complete,
    is_settled,
    pulled_at
from judged

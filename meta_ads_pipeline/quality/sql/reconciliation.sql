-- marts.reconciliation compares the three pulls, and in the same dbt run marts.metric_facts holds
-- back what does not agree. Here that turns red, and what is called agreeing is proven to be so by
-- other arithmetic.
with rows as (
    select
        *,
        greatest(
            abs(ad_daily_total - account_total),
            abs(coalesce(hourly_total, account_total) - account_total)
        ) as distance
    from marts.reconciliation
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
),

pulled as (
    select
        account_id,
        partition_date as event_date
    from control.slices
    where
        account_id = any(%(accounts)s)
        and partition_date between %(start)s and %(end)s
        and asset in ('insights_hourly', 'insights_daily', 'account_totals')
        and (status in ('done', 'mismatched') or status = 'not_kept' and asset = 'insights_hourly')
    group by account_id, partition_date
    having count(*) = 3
),

compared as (
    select
        account_id,
        event_date,
        count(*) as measures
    from rows
    group by account_id, event_date
),

judged as (
    select
        rows.*,
        measure in ('spend', 'impressions', 'clicks', 'link_clicks') as is_delivery,
        case
            when status = 'incomplete' then 'all three pulls are there'
            when status = 'withheld' then 'nothing is withheld above ad level'
            when status not in ('reconciled', 'within_tolerance') then 'the three pulls agree'
            when
                distance is null
                or status = 'reconciled' and distance >= 0.01
                or status = 'within_tolerance' and (distance > tolerance or is_settled)
                then 'what is called agreeing differs by no more than it may'
        end as rule
    from rows
)

select
    account_id,
    event_date,
    rule,
    status = 'withheld' as is_warning,
    1 as violations,
    measure || ': '
    || case
        when is_delivery then 'hours ' || coalesce(hourly_total::text, 'not there') || ', '
        else ''
    end
    || 'ad days ' || coalesce(ad_daily_total::text, 'not there') as observed,
    'account total ' || coalesce(account_total::text, 'not there') as expected,
    measure || ': ' || coalesce(
        case when rule like 'what is called%%' then 'called ' || status || ', but it is not' end,
        reason,
        delta::text,
        status
    ) as message,
    json_build_object(
        'account', 'act_' || account_id,
        'date', event_date,
        'measure', measure,
        'hours', case when is_delivery then coalesce(hourly_total::text, 'not there') end,
        'ad days', coalesce(ad_daily_total::text, 'not there'),
        'account total', coalesce(account_total::text, 'not there'),
        'off by', trim(
            to_char(delta, 'FMSG999999999990.00')
            || coalesce(
                ' (' || to_char(100 * delta / nullif(account_total, 0), 'FMSG999990.0') || ' %%)',
                ''
            )
        ),
        'note', coalesce(reason, status)
    ) as shown
from judged
where rule is not null
union all
select
    pulled.account_id,
    pulled.event_date,
    'all three pulls are there' as rule,
    false as is_warning,
    1 as violations,
    'nothing, or not every measure' as observed,
    'three pulls side by side' as expected,
    'pulled, but not compared: the marts were not built after it' as message,
    null as shown
from pulled
left join compared
    on pulled.account_id = compared.account_id and pulled.event_date = compared.event_date
where coalesce(compared.measures, 0) < 7

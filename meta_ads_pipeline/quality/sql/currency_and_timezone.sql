with units as (
    select
        account_id,
        event_date,
        timezone,
        currency
    from raw.{{ table }}
    where account_id = any(%(accounts)s) and event_date between %(start)s and %(end)s
    group by account_id, event_date, timezone, currency
),

versions as (
    select
        account_id,
        document ->> 'timezone_name' as timezone,
        document ->> 'currency' as currency,
        lead(valid_from) over (partition by account_id order by valid_from) as valid_to
    from raw.entity_versions
    where level = 'account' and account_id = any(%(accounts)s)
),

known as (
    select
        account_id,
        timezone,
        currency
    from control.ad_accounts
    union
    select
        account_id,
        timezone,
        currency
    from versions
),

changes as (
    select
        accounts.account_id,
        max(versions.valid_to at time zone accounts.timezone)::date as changed_on
    from control.ad_accounts as accounts
    inner join versions on accounts.account_id = versions.account_id
    where versions.timezone <> accounts.timezone or versions.currency <> accounts.currency
    group by accounts.account_id
),

judged as (
    select
        units.*,
        exists(
            select 1
            from known
            where known.account_id = units.account_id and known.timezone = units.timezone
        ) as is_its_timezone,
        exists(
            select 1
            from known
            where known.account_id = units.account_id and known.currency = units.currency
        ) as is_its_currency,
        coalesce(
            (units.timezone = accounts.timezone and units.currency = accounts.currency)
            or units.event_date <= changes.changed_on
            or changes.changed_on is null,
            true
        ) as is_todays
    from units
    left join control.ad_accounts as accounts on units.account_id = accounts.account_id
    left join changes on units.account_id = changes.account_id
)

select
    judged.account_id,
    judged.event_date,
    broken.rule,
    broken.is_warning,
    count(*) as violations,
    'timezone ' || min(judged.timezone) || ', currency ' || min(judged.currency) as observed
from judged
cross join
    lateral (
        values
        (
            judged.is_its_timezone,
            'timezone is or was the account''s own, by Meta''s document',
            false
        ),
        (
            judged.is_its_currency,
            'currency is or was the account''s own, by Meta''s document',
            false
        ),
        (
            judged.is_todays,
            'dates since the account changed are in its new timezone and currency',
            true
        )
    ) as broken (is_so, rule, is_warning)
where not broken.is_so
group by judged.account_id, judged.event_date, broken.rule, broken.is_warning

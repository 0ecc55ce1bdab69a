with landed as (
    insert into raw.ingested_facts as r (
        natural_key, workspace_id, provider, account_id, level, external_entity_id, entity_id, grain,
        event_at, event_date, timezone, currency, received_at, {{ replaced }}
    )
    select
        natural_key,
        %(workspace)s::uuid,
        provider,
        account_id,
        level,
        external_entity_id,
        entity_id,
        grain,
        starts_at,
        event_date,
        timezone,
        currency,
        now(),
        {{ replaced }}
    from facts
    where n <> all(%(refused)s::integer[])
    on conflict (natural_key, event_date) do update
        set
            (event_at, received_at, {{ replaced }})
            = (excluded.event_at, excluded.received_at, {{ replaced_new }})
        where
        (r.workspace_id, r.provider, r.account_id, r.level, r.grain)
        = (
            excluded.workspace_id, excluded.provider, excluded.account_id, excluded.level,
            excluded.grain
        )
        and ({{ replaced_old }}) is distinct from ({{ replaced_new }})
    returning r.natural_key, r.event_date, r.xmax = 0 as is_new
),

changed as (
    select
        f.provider,
        f.account_id,
        f.event_date,
        coalesce(bit_or(f.measures) filter (where f.level = 'account'), 0) as by_account,
        coalesce(bit_or(f.measures) filter (where f.level = 'campaign'), 0) as by_campaign,
        coalesce(bit_or(f.measures) filter (where f.level = 'adset'), 0) as by_adset,
        coalesce(bit_or(f.measures) filter (where f.level = 'ad'), 0) as by_ad,
        coalesce(bit_or(f.measures) filter (where f.grain = 'minute'), 0) as by_minute,
        coalesce(bit_or(f.measures) filter (where f.grain = 'hour'), 0) as by_hour,
        coalesce(bit_or(f.measures) filter (where f.grain = 'day'), 0) as by_day
    from facts as f
    inner join landed as l on f.natural_key = l.natural_key and f.event_date = l.event_date
    where f.n <> all(%(refused)s::integer[])
    group by f.provider, f.account_id, f.event_date
),

days as (
    insert into raw.ingested_days as d (
        workspace_id, version, provider, account_id, event_date, by_account, by_campaign, by_adset,
        by_ad, by_minute, by_hour, by_day
    )
    select
        %(workspace)s::uuid,
        1,
        changed.*
    from changed
    order by event_date, provider, account_id
    on conflict (event_date, provider, account_id) do update set
        version = d.version + 1, changed_at = now(),
        by_account = d.by_account | excluded.by_account,
        by_campaign = d.by_campaign | excluded.by_campaign,
        by_adset = d.by_adset | excluded.by_adset, by_ad = d.by_ad | excluded.by_ad,
        by_minute = d.by_minute | excluded.by_minute, by_hour = d.by_hour | excluded.by_hour,
        by_day = d.by_day | excluded.by_day
)

select
    f.n,
    f.natural_key,
    case when l.is_new then 'inserted' when l.is_new is not null then 'updated' end as status
from facts as f
left join landed as l on f.natural_key = l.natural_key and f.event_date = l.event_date
order by f.n

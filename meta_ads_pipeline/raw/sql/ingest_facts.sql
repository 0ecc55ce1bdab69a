create temporary table facts on commit drop as
select
    i.*,
    t.starts_at,
    (t.starts_at at time zone i.timezone)::date as event_date,
    case i.provider when 'meta' then '' else i.provider || '-' end || i.external_entity_id || '-'
    || case i.grain
        when 'day' then to_char(t.starts_at at time zone i.timezone, 'YYYY-MM-DD')
        else to_char(t.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    end as natural_key,
    md5(i.provider || ':' || i.level || ':' || i.external_entity_id)::uuid as entity_id,
    (i.spend is not null)::integer + 2 * (i.impressions is not null)::integer
    + 4 * (i.clicks is not null)::integer + 8 * (i.link_clicks is not null)::integer
    + 16 * (i.purchases is not null)::integer + 32 * (i.revenue is not null)::integer
    + 64 * (i.leads is not null)::integer + 128 * (i.conversions is not null)::integer as measures
from incoming as i
cross join lateral (
    select
        case i.grain
            when 'day' then date_trunc('day', i.event_at, i.timezone)
            when 'hour' then date_trunc('hour', i.event_at, i.timezone)
            else date_trunc('minute', i.event_at)
        end as starts_at
) as t

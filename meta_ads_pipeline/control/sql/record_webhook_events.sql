insert into control.webhook_events as e (
    fingerprint, topic, account_id, field,
    object_level, object_id, value, sent_at, deliveries, status, reason
)
select * from
    unnest(
        %(fingerprint)s::text[], %(topic)s::text[],
        %(account_id)s::text[], %(field)s::text[], %(object_level)s::text[],
        %(object_id)s::text[], %(value)s::jsonb[], %(sent_at)s::timestamptz[],
        %(deliveries)s::integer[], %(status)s::text[], %(reason)s::text[]
    )
on conflict (fingerprint) do update
    set
        deliveries = e.deliveries + excluded.deliveries, last_received_at = now()
returning (xmax = 0) as is_new

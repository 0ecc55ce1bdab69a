insert into control.dead_letters as d (
    fingerprint, account_id, asset, partition_date,
    object_id, field, reason, document, source_call, timezone, currency, workspace_id
)
values (
    %(fingerprint)s,
    %(account_id)s,
    %(asset)s,
    %(partition_date)s,
    %(object_id)s,
    %(field)s,
    %(reason)s,
    %(document)s,
    %(source_call)s,
    %(timezone)s,
    %(currency)s,
    %(workspace_id)s
)
on conflict (fingerprint) do update set
    attempts = d.attempts + 1, last_seen_at = now(), reason = excluded.reason,
    partition_date = excluded.partition_date, document = excluded.document,
    source_call = excluded.source_call, timezone = excluded.timezone,
    currency = excluded.currency,
    status = case d.status when 'discarded' then d.status else 'open' end,
    resolved_at = case d.status when 'discarded' then d.resolved_at end,
    resolution = case d.status when 'discarded' then d.resolution end

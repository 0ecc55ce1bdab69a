update control.dead_letters set
    status = 'resolved', resolved_at = now(),
    resolution = 'a later pull had it in order, or no longer'
where
    account_id = %(account)s and asset = %(asset)s and status = 'open'
    and fingerprint <> all(%(again)s)
    and (%(dates)s::date[] is null or partition_date = any(%(dates)s))
    and (%(ids)s::text[] is null or object_id = any(%(ids)s))
    and (%(fields)s::text[] is null or field = any(%(fields)s))

select {{ columns }} from control.dead_letters
where
    (%(ids)s::bigint[] = '{}' or dead_letter_id = any(%(ids)s))
    and (%(accounts)s::text[] = '{}' or account_id = any(%(accounts)s))
    and (%(assets)s::text[] = '{}' or asset = any(%(assets)s))
    and (%(status)s::text is null or status = %(status)s)
order by last_seen_at desc, dead_letter_id desc limit %(limit)s
{{ lock }}

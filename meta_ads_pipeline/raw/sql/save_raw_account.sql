insert into raw.ad_accounts as a (
    account_id, name, currency, timezone, document,
    document_hash, first_seen_at, changed_at, pulled_at
)
values (
    %(id)s, %(name)s, %(currency)s, %(timezone)s, %(document)s, %(hash)s,
    %(at)s, %(at)s, %(at)s
)
on conflict (account_id) do update set
    name = excluded.name,
    currency = excluded.currency, timezone = excluded.timezone,
    document = excluded.document, document_hash = excluded.document_hash,
    changed_at = case
        when a.document_hash = excluded.document_hash
            then a.changed_at
        else excluded.changed_at
    end,
    pulled_at = excluded.pulled_at
where a.document is distinct from excluded.document

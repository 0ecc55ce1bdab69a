with new as (
    insert into {{ table }} (
        id, account_id, {{ columns }}, document,
        document_hash, is_deleted, missing_since, first_seen_at, changed_at, pulled_at
    )
    select
        i.id,
        %(account)s,
        {{ i_columns }},
        i.document,
        i.document_hash,
        i.is_deleted,
        case when not i.is_listed then %(at)s end,
        %(at)s,
        %(at)s,
        %(at)s
    from incoming_entities as i
    on conflict (id) do nothing returning 1
)

select count(*) from new

with missing as (
    update {{ table }} as t set missing_since = %(at)s
    where
        account_id = %(account)s
        and missing_since is null
        and not is_deleted
        and not exists (
            select from incoming_entities as i
            where i.id = t.id
        )
    returning 1
)

select count(*) from missing

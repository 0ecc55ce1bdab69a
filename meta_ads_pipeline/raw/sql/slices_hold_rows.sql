-- Whether the slices have any row yet: a first load needs no comparison.
select exists(
    select from {{ table }}
    where
        account_id = %(account)s
        and event_date = any(%(dates)s)
        and (
            not {{ has_periods }}
            or (event_date, {{ period }}) in (
                select * from unnest(%(period_ends)s::date[], %(periods)s::text[])
            )
        )
) as held

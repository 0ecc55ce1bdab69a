insert into control.account_timezones (account_id, timezone, valid_from)
select
    %(id)s,
    %(timezone)s,
    %(at)s
where not exists (
-- A document read before the newest one that is known tells nothing about the present.
    select from (
        select
            timezone,
            valid_from
        from control.account_timezones
        where account_id = %(id)s
        order by valid_from desc limit 1
    ) as newest
    where newest.timezone = %(timezone)s or newest.valid_from >= %(at)s
)

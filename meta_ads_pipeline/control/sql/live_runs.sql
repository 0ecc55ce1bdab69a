select run_id from unnest(%(runs)s::text[]) as run_id
where exists (
    select from
        pg_locks as l
    where
        l.locktype = 'advisory' and l.granted
        and l.database = (
            select oid from pg_database
            where datname = current_database()
        )
        and l.classid::bigint = hashtext('meta-ads run') & 4294967295
        and l.objid::bigint = hashtext(run_id) & 4294967295 and l.objsubid = 2
)

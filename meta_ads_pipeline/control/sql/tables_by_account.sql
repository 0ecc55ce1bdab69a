select
    n.nspname as schema,
    c.relname as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid and a.attname = 'account_id' and a.attnum > 0
where
    c.relkind in ('r', 'p') and not c.relispartition and n.nspname = any(%(schemas)s)
    and (n.nspname, c.relname) <> ('control', 'ad_accounts')
order by 1, 2

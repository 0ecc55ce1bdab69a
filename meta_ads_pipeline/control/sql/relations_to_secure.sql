select
    n.nspname as schema,
    c.relname as name,
    c.relkind::text in ('r', 'p') as is_table,
    exists(
        select from pg_attribute as a
        where a.attrelid = c.oid and a.attname = 'workspace_id' and not a.attisdropped
    ) as has_workspace,
    c.relrowsecurity
    and exists (
        select from pg_policy as p
        where p.polrelid = c.oid and not p.polpermissive and p.polroles = array[r.oid]
    ) as has_policy,
    has_table_privilege(r.oid, c.oid, 'select') as is_granted,
    has_table_privilege(r.oid, to_regclass('serving.' || quote_ident(c.relname)), 'select')
    and (
        select array_agg(a.attname order by a.attnum) from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0
    ) = (
        select array_agg(a.attname order by a.attnum) from pg_attribute as a
        where a.attrelid = to_regclass('serving.' || quote_ident(c.relname)) and a.attnum > 0
    ) as has_view
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_roles as r on r.rolname = %(role)s
where
    c.relkind in ('r', 'p', 'v') and not c.relispartition
    and (n.nspname = 'marts' or n.nspname = 'control' and c.relname = any(%(control)s))
    and exists (
        select from pg_attribute as a
        where
            a.attrelid = c.oid and a.attname in ('workspace_id', 'account_id')
            and not a.attisdropped
    )
order by n.nspname, c.relname

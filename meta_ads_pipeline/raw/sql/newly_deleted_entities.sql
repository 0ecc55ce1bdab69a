select count(*)
from {{ table }} as t
left join incoming_entities as i using (id)
where
    not t.is_deleted
    and t.account_id = %(account)s
    and (i.is_deleted or t.id = any(%(gone)s))

-- Versions of the ids that are first seen, or seen with another document.
insert into raw.entity_versions (account_id, level, entity_id, valid_from, document, document_hash)
select
    %(account)s,
    %(level)s,
    i.id,
    %(at)s,
    i.document,
    i.document_hash
from incoming_entities as i
left join {{ table }} as t using (id)
where t.document_hash is distinct from i.document_hash
on conflict (level, entity_id, valid_from) do update set
    document = excluded.document, document_hash = excluded.document_hash

insert into raw.entity_versions
(account_id, level, entity_id, valid_from, document, document_hash)
values (%(id)s, 'account', %(id)s, %(at)s, %(document)s, %(hash)s)
on conflict (level, entity_id, valid_from) do update set
    document = excluded.document, document_hash = excluded.document_hash

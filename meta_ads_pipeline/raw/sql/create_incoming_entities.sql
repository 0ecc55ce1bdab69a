create temporary table incoming_entities on commit drop as
select
    id,
    {{ columns }},
    document,
    document_hash,
    is_deleted,
    true as is_listed
from {{ table }}
where false

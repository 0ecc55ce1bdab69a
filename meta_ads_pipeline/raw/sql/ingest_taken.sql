-- Of rows that changed nothing, those whose key is a fact of another account, level or grain.
select
    f.n,
    f.natural_key
from facts as f
inner join raw.ingested_facts as r on f.natural_key = r.natural_key and f.event_date = r.event_date
where
    f.n = any(%(rows)s::integer[])
    and (r.workspace_id, r.provider, r.account_id, r.level, r.grain)
    is distinct from (%(workspace)s::uuid, f.provider, f.account_id, f.level, f.grain)

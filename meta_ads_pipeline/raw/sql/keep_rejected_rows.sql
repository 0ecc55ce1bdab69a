-- A row that came and could not be used has not vanished: what is stored of it stays. Of its key
-- only what could be read is known.
delete from slice_difference as d
using rejected_rows as r
where
    d.change = 'deleted'
    and not exists (
        select from unnest(array[{{ r_key }}]::text[], array[{{ d_key }}]::text[]) as parts (rejected, stored)
        where parts.rejected <> parts.stored
    )

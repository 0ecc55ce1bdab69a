select
    coalesce(sum(rows_inserted), 0) as inserted,
    coalesce(sum(rows_updated), 0) as updated,
    coalesce(sum(rows_deleted), 0) as deleted,
    coalesce(sum(rows_unchanged), 0) as unchanged,
    coalesce(sum(rows_dead_lettered), 0) as dead
from control.slice_loads
where sync_id = %(sync)s

-- Query before user before workspace: a session's setting hides that of its role. Null: each
-- account's own. "offset 0" fences the setting off: it is checked once, not per use.
select
    workspaces.workspace_id,
    nullif(coalesce(chosen.timezone, workspaces.display_timezone), 'account') as timezone
from {{ ref('stg_meta__workspaces') }} as workspaces
cross join (
    select control.chosen_timezone() as timezone
    limit all offset 0 -- noqa: AM09
) as chosen

select
    workspace_id,
    name as workspace_name,
    display_timezone
from {{ source('control', 'workspaces') }}

select
    accounts.account_id,
    accounts.workspace_id,
    workspaces.name as workspace_name,
    coalesce(landed.name, accounts.name) as account_name,
    accounts.currency,
    accounts.timezone,
    accounts.is_active,
    accounts.account_status,
    (landed.document ->> 'disable_reason')::smallint as disable_reason,
    landed.document #>> '{business,name}' as business_name,
    (landed.document ->> 'amount_spent')::numeric as amount_spent_minor,
    (landed.document ->> 'balance')::numeric as balance_minor,
    (landed.document ->> 'spend_cap')::numeric as spend_cap_minor,
    (landed.document ->> 'created_time')::timestamptz as created_at,
    coalesce(landed.first_seen_at, accounts.created_at) as first_seen_at,
    coalesce(landed.changed_at, accounts.updated_at) as changed_at
from {{ source('control', 'ad_accounts') }} as accounts
inner join {{ source('control', 'workspaces') }} as workspaces
    on accounts.workspace_id = workspaces.workspace_id
left join {{ source('raw', 'ad_accounts') }} as landed
    on accounts.account_id = landed.account_id

select
    accounts.account_id,
    accounts.workspace_id,
    workspaces.name as workspace_name,
    coalesce(landed.name, accounts.name) as account_name,
    accounts.currency,
    accounts.timezone,
    accounts.is_active,
    accounts.account_status,
    {{ document_column('account', 'disable_reason', 'landed.document') }} as disable_reason,
    {{ document_column('account', 'business_name', 'landed.document') }} as business_name,
    {{ document_column('account', 'amount_spent_minor', 'landed.document') }} as amount_spent_minor,
    {{ document_column('account', 'balance_minor', 'landed.document') }} as balance_minor,
    {{ document_column('account', 'spend_cap_minor', 'landed.document') }} as spend_cap_minor,
    {{ document_column('account', 'created_at', 'landed.document') }} as created_at,
    coalesce(landed.first_seen_at, accounts.created_at) as first_seen_at,
    coalesce(landed.changed_at, accounts.updated_at) as changed_at
from {{ source('control', 'ad_accounts') }} as accounts
inner join {{ source('control', 'workspaces') }} as workspaces
    on accounts.workspace_id = workspaces.workspace_id
left join {{ source('raw', 'ad_accounts') }} as landed
    on accounts.account_id = landed.account_id

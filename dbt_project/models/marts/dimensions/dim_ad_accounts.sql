{{ config(unique_key='account_id', meta={'window_column': 'none'}) }}

select
    accounts.account_id,
    {{ entity_uuid("'account'", 'accounts.account_id') }} as entity_id,
    accounts.workspace_id,
    accounts.workspace_name,
    accounts.account_name as name,
    accounts.business_name,
    accounts.currency,
    accounts.timezone,
    accounts.account_status,
    case accounts.account_status
        when 1 then 'ACTIVE'
        when 2 then 'DISABLED'
        when 3 then 'UNSETTLED'
        when 7 then 'PENDING_RISK_REVIEW'
        when 8 then 'PENDING_SETTLEMENT'
        when 9 then 'IN_GRACE_PERIOD'
        when 100 then 'PENDING_CLOSURE'
        when 101 then 'CLOSED'
    end as effective_status,
    accounts.disable_reason,
    accounts.is_active,
    {{ major_units('accounts.amount_spent_minor') }} as amount_spent,
    {{ major_units('accounts.balance_minor') }} as balance,
    {{ limit_in_major_units('accounts.spend_cap_minor') }} as spend_cap,
    accounts.created_at,
    accounts.first_seen_at,
    accounts.changed_at
from {{ ref('stg_meta__ad_accounts') }} as accounts
left join {{ ref('currency_offsets') }} as offsets on accounts.currency = offsets.currency

{{ config(materialized='view') }}

select
    changes.change_id as restatement_id,
    accounts.workspace_id,
    changes.account_id,
    changes.event_date,
    changes.event_hour,
    changes.asset,
    case changes.asset when 'account_totals' then 'account' else 'ad' end as level,
    changes.external_entity_id,
    changes.measure,
    {{ number_or_null('changes.old_value') }} as old_value,
    {{ number_or_null('changes.new_value') }} as new_value,
    coalesce({{ number_or_null('changes.new_value') }}, 0)
    - coalesce({{ number_or_null('changes.old_value') }}, 0) as change,
    changes.previous_pulled_at,
    changes.detected_at,
    (changes.detected_at at time zone accounts.timezone)::date - changes.event_date as lag_days
from {{ ref('stg_meta__insights_changes') }} as changes
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on changes.account_id = accounts.account_id
where
    -- What came between the last pull of a running day and its end is growth, not restatement.
    (
        changes.previous_pulled_at
        < (changes.event_date + 1)::timestamp at time zone accounts.timezone
    ) is not true

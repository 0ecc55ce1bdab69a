-- An ad's change is also one of its account: the level of the account's total tells it once.
select
    asset,
    level,
    old_value,
    new_value,
    change,
    previous_pulled_at,
    detected_at,
    lag_days
from serving.restatements
where
    workspace_id = %(workspace)s and account_id = %(account)s and event_date = %(start)s
    and measure = %(measure)s and asset = 'account_totals'
order by detected_at

select
    asset,
    check_name,
    severity,
    message,
    last_failed_at
from serving.check_results
where
    workspace_id = %(workspace)s and account_id = %(account)s and event_date = %(start)s
    and status = 'failed'
order by severity, asset, check_name

select
    account_id,
    event_date,
    string_agg(
        asset || ' ' || check_name || ': ' || coalesce(message, ''), '; '
        order by asset, check_name
    ) as reason
from control.check_results
-- dbt's gate has the same condition. Only of landed rows: what is compared in the marts is judged
-- anew by each build.
where
    status = 'failed' and severity = 'block' and asset like 'raw/%%'
    and account_id = any(%(accounts)s) and event_date between %(first)s and %(last)s
group by 1, 2

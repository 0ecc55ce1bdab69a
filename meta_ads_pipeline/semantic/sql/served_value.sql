select sum({{ measure }}) as value from marts.metric_facts
where
    workspace_id = %(workspace)s and account_id = %(account)s and event_date = %(start)s
    and provider = 'meta' and source = 'insights'

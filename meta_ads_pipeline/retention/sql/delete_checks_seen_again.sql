delete from dagster.asset_check_executions as c
where
    c.run_id = any(%(runs)s)
    and exists (
        select from dagster.asset_check_executions as later
        where
            later.asset_key = c.asset_key
            and later.check_name = c.check_name
            and later.id > c.id
    )

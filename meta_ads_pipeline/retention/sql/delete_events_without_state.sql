with gone as (
    delete from dagster.event_logs
    where
        run_id = any(%(runs)s)
        and id <> all(%(kept)s)
        -- When the run began and ended: five rows at most.
        and coalesce(dagster_event_type, '') not like 'PIPELINE\_%%'
    returning id
)

delete from dagster.asset_event_tags using gone
where asset_event_tags.event_id = gone.id

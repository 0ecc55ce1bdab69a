select
    e.run_id,
    e.id
from dagster.event_logs as e
where
    e.run_id = any(%(runs)s)
    and e.asset_key is not null
    and (
        e.dagster_event_type = 'ASSET_MATERIALIZATION'
        or e.dagster_event_type in ('ASSET_MATERIALIZATION_PLANNED', 'ASSET_FAILED_TO_MATERIALIZE')
        and not exists (
            select from dagster.event_logs as again
            where
                again.asset_key = e.asset_key
                and again.dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED'
                and again.partition is not distinct from e.partition
                and again.id > e.id
        )
    )
    and not exists (
        select from dagster.event_logs as later
        where
            later.asset_key = e.asset_key
            and later.dagster_event_type = 'ASSET_MATERIALIZATION'
            and later.partition is not distinct from e.partition
            and later.id > e.id
    )

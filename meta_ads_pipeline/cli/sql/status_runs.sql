select
    r.run_id,
    r.pipeline_name as job,
    r.status,
    coalesce(
        max(t.value) filter (where t.key = 'dagster/schedule_name'),
        max(t.value) filter (where t.key = 'dagster/sensor_name'),
        case
            when bool_or(t.key = 'dagster/backfill') then 'backfill'
            when bool_or(t.key = '.dagster/grpc_info') then 'Dagster UI'
            else 'meta-ads'
        end
    ) as started_by,
    concat_ws(' to ', max(t.value) filter (where t.key = any(array[
        'dagster/asset_partition_range_start', 'dagster/partition'
    ])),
    max(t.value) filter (where t.key = 'dagster/asset_partition_range_end')) as dates,
    to_timestamp(r.start_time) as started_at,
    to_timestamp(r.end_time) as finished_at
from dagster.runs as r
left join dagster.run_tags as t using (run_id)
group by r.id
order by r.status in ('QUEUED', 'STARTING', 'STARTED', 'CANCELING') desc, r.id desc limit 8

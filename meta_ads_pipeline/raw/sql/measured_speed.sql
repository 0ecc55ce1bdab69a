select
    coalesce(sum(calls), 0)::int as calls,
    sum(rows)::float as rows,
    sum(seconds)::float as seconds
from (select
    sum(api_calls) as calls,
    sum(rows_fetched) as rows,
    extract(epoch from max(finished_at) - min(started_at)) as seconds
from control.slices
where status = 'done' and finished_at is not null and run_id is not null
group by account_id, asset, run_id
having sum(api_calls) > 0
order by max(finished_at) desc limit %(pulls)s) as pulls

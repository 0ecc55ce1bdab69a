-- A slice that was confirmed without a read fetched none of the rows that it holds.
select avg(held)::float as mean from (
    select greatest(rows_fetched, rows_inserted + rows_updated + rows_unchanged) as held
    from control.slices
    where account_id = %(account)s and asset = %(asset)s and rows_fetched is not null
    order by partition_date desc limit 14
) as latest

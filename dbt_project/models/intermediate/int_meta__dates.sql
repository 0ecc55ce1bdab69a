-- MetricFlow joins every metric to a table of dates.
select days.date_day::date as date_day
from generate_series(date '2004-02-04', date '2049-12-31', interval '1 day') as days (date_day)

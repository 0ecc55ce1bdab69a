"""raw: reach and frequency by level and period; types whose values `sum` refuses."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = """
create table raw.insights_reach (
    event_date date not null,
    account_id text not null,
    level text not null check (level in ('account', 'campaign', 'adset')),
    entity_id text not null,
    period text not null check (period in ('day', '7d', '28d', 'month')),
    period_start date not null,
    period_end date not null,
    timezone text not null,
    currency text not null,
    spend numeric,
    impressions bigint,
    clicks bigint,
    reach bigint,
    frequency numeric,
    unique_clicks bigint,
    unique_link_clicks bigint,
    omitted text,
    api_version text not null,
    pulled_at timestamptz not null,
    primary key (event_date, level, entity_id, period),
    check (period_end = event_date and period_start <= period_end)
);
create index on raw.insights_reach (account_id, event_date);
comment on table raw.insights_reach is
    'Account, campaign or ad set x day, 7 days, 28 days or month: what cannot be summed.';
comment on column raw.insights_reach.event_date is
    'The last day of the period, account-local: the partition that the row belongs to.';
comment on column raw.insights_reach.omitted is
    'What was not asked for, and why; null: everything was.';

-- `sum` of a column of these types is refused, whoever asks. Otherwise they are the numbers that
-- they are made of, also to a driver: only an expression around the column loses the type.
create domain marts.unique_count as bigint;
comment on domain marts.unique_count is
    'A number of different people: not additive, over time or over objects.';
create domain marts.frequency as numeric;
comment on domain marts.frequency is 'Impressions per person reached: not additive.';

create function marts.refuse_sum_of_people(bigint, marts.unique_count) returns bigint
language plpgsql immutable as $body$
begin
    raise exception 'reach and unique counts cannot be summed: the same people are in several rows'
        using hint = 'marts.reach has a row for each level and period: read the one you mean.';
end
$body$;
create function marts.refuse_sum_of_frequency(numeric, marts.frequency) returns numeric
language plpgsql immutable as $body$
begin
    raise exception 'frequency cannot be summed: it is impressions per person reached'
        using hint = 'marts.reach has a row for each level and period: read the one you mean.';
end
$body$;

-- In `public`, which is on everybody's search path; a server may keep it closed.
do $body$
begin
    create aggregate public.sum(marts.unique_count) (
        sfunc = marts.refuse_sum_of_people, stype = bigint
    );
    create aggregate public.sum(marts.frequency) (
        sfunc = marts.refuse_sum_of_frequency, stype = numeric
    );
exception when insufficient_privilege or invalid_schema_name then
    raise notice 'no right to create in schema public: sum() of reach will not be refused';
end
$body$;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

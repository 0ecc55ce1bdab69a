"""control.ensure_month_partitions: one lock for a table, so that two ranges cannot deadlock.

With a lock for each month, who had made one and wanted the next waited for another loader's lock,
which waited for the lock on the table that the first had kept.
"""

from __future__ import annotations

from alembic import op

revision = "0038"
down_revision = "0037"

STATEMENTS = """
create or replace function
    control.ensure_month_partitions(parent regclass, first_date date, last_date date)
returns void language plpgsql as $$
declare
    month date := date_trunc('month', first_date);
    child text;
begin
    while month <= last_date loop
        child := format('%s_%s',
            replace(replace(parent::text, '"', ''), '.', '_'), to_char(month, 'YYYYMM'));
        if not exists (select from pg_class
                where relname = child and relnamespace = 'partitions'::regnamespace) then
            -- Two loaders may want the same new month: the lock makes one wait, then see it. It is
            -- the table's, not the month's: attaching locks the table until the transaction ends.
            perform pg_advisory_xact_lock(
                hashtext('month-partition'), hashtext('partitions of ' || parent::text));
            if not exists (select from pg_class
                    where relname = child and relnamespace = 'partitions'::regnamespace) then
                -- Attaching, unlike "create table ... partition of", lets readers and writers of
                -- the parent go on.
                execute format(
                    'create table partitions.%I (like %s including all)', child, parent);
                execute format(
                    'alter table %s attach partition partitions.%I'
                    ' for values from (%L) to (%L)',
                    parent, child, month, (month + interval '1 month')::date);
            end if;
        end if;
        month := (month + interval '1 month')::date;
    end loop;
end $$;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

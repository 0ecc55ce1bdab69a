"""Functions that marts call for every row: the timezone chosen, a value that cannot be read."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"

STATEMENTS = """
create or replace function control.chosen_timezone()
returns text language plpgsql stable parallel safe as $$
declare
    chosen text := nullif(current_setting('meta_ads.display_timezone', true), '');
begin
    -- The names are files: they are read only where there is a name to look for.
    if chosen is null or chosen = 'account' then
        return chosen;
    end if;
    -- Not by is_timezone: readers of the marts may have no right to the schema control.
    if not exists (select from pg_catalog.pg_timezone_names where name = chosen) then
        raise exception 'meta_ads.display_timezone: "%" is not an IANA timezone', chosen
            using errcode = 'invalid_parameter_value',
            hint = 'Set a name as in pg_timezone_names, for instance Europe/Berlin; "account" for'
                ' each account''s own; or reset meta_ads.display_timezone.';
    end if;
    return chosen;
end $$;

-- By the kind first: where it is a constant, Postgres keeps that branch alone.
create or replace function control.is_unusable(value jsonb, kind text) returns boolean
language sql immutable parallel restricted
return coalesce(case kind
    when 'text' then jsonb_typeof(value) in ('object', 'array')
    -- PHP's empty array and empty object are one: nothing is lost.
    when 'list' then jsonb_typeof(value) not in ('array', 'null') and value <> '{}'::jsonb
    when 'object' then jsonb_typeof(value) not in ('object', 'null') and value <> '[]'::jsonb
    else value is not null and jsonb_typeof(value) <> 'null'
        and control.document_value(value, kind) is null
end, false);
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

"""Guarded reads of Meta's documents: functions that give null, never an error; ``lag_days``."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    connection = op.get_bind().execution_options(no_parameters=True)
    connection.exec_driver_sql(_FUNCTIONS)
    connection.exec_driver_sql(_NAMES)


# Postgres 15 has no pg_input_is_valid: a moment is the one kind whose text no pattern can judge
# alone (2026-02-30), so that its cast is tried.
_FUNCTIONS = r"""
create or replace function control.json_text(value jsonb) returns text
language sql immutable strict parallel safe
return case when jsonb_typeof(value) in ('string', 'number', 'boolean') then value #>> '{}' end;

create or replace function control.json_list(value jsonb) returns jsonb
language sql immutable strict parallel safe
return case when jsonb_typeof(value) = 'array' then value end;

create or replace function control.json_object(value jsonb) returns jsonb
language sql immutable strict parallel safe
return case when jsonb_typeof(value) = 'object' then value end;

create or replace function control.to_number(value text) returns numeric
language sql immutable strict parallel safe
return case
    when value ~ '^\s*[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?\s*$'
        then value::numeric
end;

create or replace function control.to_smallint(value text) returns smallint
language sql immutable strict parallel safe
return case
    when control.to_number(value) = trunc(control.to_number(value))
        and control.to_number(value) between -32768 and 32767
        then control.to_number(value)::smallint
end;

create or replace function control.to_flag(value text) returns boolean
language sql immutable strict parallel safe
return case lower(btrim(value))
    when '1' then true when 'true' then true when '0' then false when 'false' then false
end;

create or replace function control.to_instant(value text) returns timestamptz
language plpgsql immutable strict as $$
begin
    if value ~ '^[0-9]{1,11}(\.[0-9]{1,9})?$' then
        return to_timestamp(value::numeric::double precision);
    end if;
    if value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?'
        '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'
    then
        return value::timestamptz;
    end if;
    return null;
exception when data_exception then
    return null;
end $$;

create or replace function control.document_value(value jsonb, kind text) returns text
language sql immutable parallel restricted
return case kind
    when 'text' then control.json_text(value)
    when 'number' then control.to_number(control.json_text(value))::text
    when 'smallint' then control.to_smallint(control.json_text(value))::text
    when 'flag' then control.to_flag(control.json_text(value))::text
    when 'instant' then extract(epoch from control.to_instant(control.json_text(value)))::text
    when 'list' then control.json_list(value)::text
    when 'object' then control.json_object(value)::text
end;

create or replace function control.is_unusable(value jsonb, kind text) returns boolean
language sql immutable parallel restricted
return value is not null
    and jsonb_typeof(value) <> 'null'
    -- PHP's empty array and empty object are one: nothing is lost.
    and not (kind in ('list', 'object') and value in ('[]'::jsonb, '{}'::jsonb))
    and control.document_value(value, kind) is null;

comment on function control.json_text(jsonb) is
'A text, number or boolean as text; null where the value is a list, an object or null.';
comment on function control.json_list(jsonb) is 'The value where it is a list, else null.';
comment on function control.json_object(jsonb) is 'The value where it is an object, else null.';
comment on function control.to_number(text) is
'A plain decimal number of at most 30 digits before and after the point; null for any other text.';
comment on function control.to_smallint(text) is
'A whole number from -32768 to 32767, 18.0 included; null for any other text.';
comment on function control.to_flag(text) is
'1, true, 0 or false as a boolean; null for any other text.';
comment on function control.to_instant(text) is
'Unix seconds, or an ISO 8601 time with its offset; null for any other text.';
comment on function control.document_value(jsonb, text) is
'A document''s value read as a kind: text, number, smallint, flag, instant, list or object.';
comment on function control.is_unusable(jsonb, text) is
'Whether a document''s value is there and cannot be read as its kind.';
"""

_NAMES = """
do $$
declare
    renamed record;
begin
    for renamed in
        select old.name, old.replacement
        from (
            values ('days_after', 'lag_days'), ('last_days_after', 'last_lag_days')
        ) as old (name, replacement)
        inner join information_schema.columns
            on columns.table_schema = 'intermediate'
            and columns.table_name = 'int_meta__values_by_age'
            and columns.column_name = old.name
    loop
        execute format(
            'alter table intermediate.int_meta__values_by_age rename column %I to %I',
            renamed.name, renamed.replacement
        );
    end loop;
    if to_regclass('intermediate.int_meta__anomaly_stories') is not null then
        drop view intermediate.int_meta__anomaly_stories cascade;
    end if;
end $$;
"""

"""control: the timezone that a workspace reads in; accounts' timezones over time."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = """
create table control.account_timezones (
    account_id text not null references control.ad_accounts on delete cascade,
    timezone text not null,
    valid_from timestamptz not null,
    primary key (account_id, valid_from)
);
comment on table control.account_timezones is
    'Each timezone that Meta gave for an ad account, from the pull that first saw it.';
insert into control.account_timezones (account_id, timezone, valid_from)
select account_id, timezone, created_at from control.ad_accounts;

create function control.is_timezone(name text)
returns boolean language sql stable parallel safe as $$
    -- Not "at time zone": Postgres reads UTC+2 as two hours west and IST as Israel's time.
    select exists (select from pg_catalog.pg_timezone_names as zones where zones.name = $1)
$$;
comment on function control.is_timezone is 'Whether the name is an IANA timezone, to the letter.';

create function control.chosen_timezone()
returns text language plpgsql stable parallel safe as $$
declare
    chosen text := nullif(current_setting('meta_ads.display_timezone', true), '');
begin
    -- Not by is_timezone: readers of the marts may have no right to the schema control.
    if chosen <> 'account'
        and not exists (select from pg_catalog.pg_timezone_names where name = chosen) then
        raise exception 'meta_ads.display_timezone: "%" is not an IANA timezone', chosen
            using errcode = 'invalid_parameter_value',
            hint = 'Set a name as in pg_timezone_names, for instance Europe/Berlin; "account" for'
                ' each account''s own; or reset meta_ads.display_timezone.';
    end if;
    return chosen;
end $$;
comment on function control.chosen_timezone is
    'The setting meta_ads.display_timezone of the session, or of its role: an IANA timezone, '
    '"account", or null where none is set.';

-- Until now nobody could choose it: what is there is the column's default.
alter table control.workspaces
    alter column display_timezone drop default,
    alter column display_timezone drop not null;
update control.workspaces set display_timezone = null;
alter table control.workspaces add constraint workspaces_display_timezone_is_iana
    check (display_timezone is null or control.is_timezone(display_timezone));
comment on column control.workspaces.display_timezone is
    'IANA timezone in which the workspace reads the *_display marts; null: each account''s own.';

-- What is known by the day only: few rows among the hours, read by the daily display marts.
create index on marts.metric_facts (event_date, account_id) where event_hour is null;
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

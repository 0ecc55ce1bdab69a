"""control: places for calls in flight, shared by all processes."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = """
create table control.call_slots (
    app text not null,
    account_id text not null default '',
    holder integer not null,
    backend integer,
    granted integer not null,
    wanted integer not null,
    seen_at timestamptz not null,
    primary key (app, account_id, holder)
);
comment on table control.call_slots is
    'How many calls each process may have in flight at once, of an app and of an ad account.';
comment on column control.call_slots.account_id is 'Empty: of the app, whatever the account.';
comment on column control.call_slots.holder is
    'A process. Its session holds the advisory lock of this number: killed, it holds nothing.';
comment on column control.call_slots.backend is
    'The session that took the lock; null while an earlier session of the holder has it.';
comment on column control.call_slots.wanted is 'What it could use at present.';

create function control.share_call_slots(
    app_name text, own integer, accounts text[], used integer[], needs integer[], limits integer[])
returns table (account text, slots integer, is_contended boolean) language plpgsql as $$
declare
    class constant integer := hashtext('call slots of a process');
    me integer := null;
    place integer;
    others integer;
    held integer;
    taken_up integer;
    fair integer;
begin
    -- One process at a time decides: what is granted never adds up to more than the limit.
    perform pg_advisory_xact_lock(hashtext('call slots of an app'), hashtext(app_name));
    if exists (select from control.call_slots as s
            where s.holder = own and s.backend = pg_backend_pid())
        or pg_try_advisory_lock(class, own) then
        me := pg_backend_pid();
    end if;
    delete from control.call_slots as s
    where s.app = app_name and s.holder <> own
        and (s.seen_at < clock_timestamp() - interval '15 minutes'
            or not exists (select from pg_locks as l
                where l.locktype = 'advisory' and l.granted and l.objsubid = 2
                    and l.database
                        = (select oid from pg_database where datname = current_database())
                    and l.classid::bigint = class & 4294967295
                    and l.objid::bigint = s.holder & 4294967295));
    for place in 1 .. cardinality(accounts) loop
        select count(*) filter (where s.wanted > 0), coalesce(sum(s.granted), 0)
        into others, held
        from control.call_slots as s
        where s.app = app_name and s.account_id = accounts[place] and s.holder <> own;
        fair := greatest(1, limits[place] / (others + 1));
        select coalesce(sum(least(s.wanted, fair)), 0) into taken_up
        from control.call_slots as s
        where s.app = app_name and s.account_id = accounts[place] and s.holder <> own;
        account := accounts[place];
        is_contended := others > 0;
        -- Calls that are under way are not taken back; more only from what nobody else holds.
        slots := greatest(used[place], least(needs[place],
            greatest(limits[place] - taken_up, fair), limits[place] - held));
        insert into control.call_slots as s
            (app, account_id, holder, backend, granted, wanted, seen_at)
        values (app_name, account, own, me, slots, needs[place], clock_timestamp())
        on conflict (app, account_id, holder) do update set
            backend = excluded.backend, granted = excluded.granted, wanted = excluded.wanted,
            seen_at = excluded.seen_at;
        return next;
    end loop;
end $$;
comment on function control.share_call_slots is
    'Says how many calls a process may have in flight; it tells what it uses and could use.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

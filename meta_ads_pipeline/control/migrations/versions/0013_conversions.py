"""raw: conversions by their standard events' names, and the custom conversions they may be of."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = """
alter table raw.insights_daily add column conversions jsonb, add column conversion_values jsonb;
alter table raw.account_totals add column conversions jsonb, add column conversion_values jsonb;
comment on column raw.insights_daily.conversions is
    'Meta''s field: standard events that actions do not name (contact_total, subscribe_total, ...).'
    ' Names with _total contain the others. Null: none, or not asked for.';
comment on column raw.insights_daily.conversion_values is
    'The values of conversions, in major units of the account''s currency.';
comment on column raw.account_totals.conversions is 'As in raw.insights_daily, of the account.';
comment on column raw.account_totals.conversion_values is
    'As in raw.insights_daily, of the account.';

create table raw.custom_conversions (
    id text primary key,
    account_id text not null,
    name text,
    custom_event_type text,
    rule text,
    pixel_id text,
    document jsonb not null,
    document_hash text not null,
    is_deleted boolean not null default false,
    missing_since timestamptz,
    first_seen_at timestamptz not null,
    changed_at timestamptz not null,
    pulled_at timestamptz not null
);
create index on raw.custom_conversions (account_id);
comment on table raw.custom_conversions is
    'Custom conversions of an account, current state: the number in action types such as'
    ' offsite_conversion.custom.<id>, with its name and rule.';
comment on column raw.custom_conversions.rule is
    'What is counted, as Meta writes it (JSON text); null where Meta does not say.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

"""raw: facts that other programs post over HTTP, and what of them the marts have."""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"

STATEMENTS = """
create table raw.ingested_facts (
    natural_key text not null,
    workspace_id uuid not null references control.workspaces on delete cascade,
    provider text not null,
    account_id text not null,
    level text not null check (level in ('account', 'campaign', 'adset', 'ad')),
    external_entity_id text not null,
    entity_id uuid not null,
    campaign_id text,
    adset_id text,
    ad_id text,
    grain text not null check (grain in ('minute', 'hour', 'day')),
    event_at timestamptz not null,
    event_date date not null,
    timezone text not null,
    currency text not null,
    goal text,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    purchases numeric,
    revenue numeric,
    leads numeric,
    conversions numeric,
    received_at timestamptz not null,
    primary key (natural_key, event_date)
);
create index ingested_facts_entity on raw.ingested_facts (external_entity_id, event_date);
create index ingested_facts_account on raw.ingested_facts (event_date, account_id);
comment on table raw.ingested_facts is
    'Facts posted to the HTTP service, one row a natural_key: the newest that was posted.';

create table raw.ingested_accounts (
    provider text not null,
    account_id text not null,
    workspace_id uuid not null references control.workspaces on delete cascade,
    currency text not null,
    timezone text not null,
    primary key (provider, account_id)
);
comment on table raw.ingested_accounts is
    'Accounts of posted facts: whose they are, and the currency and timezone of all their facts.';

create table raw.ingested_entities (
    entity_id uuid primary key,
    workspace_id uuid not null references control.workspaces on delete cascade,
    provider text not null,
    level text not null,
    external_entity_id text not null,
    account_id text not null,
    campaign_id text,
    adset_id text
);
comment on table raw.ingested_entities is 'What facts were posted of, by the uuid in the marts.';

create table raw.ingested_days (
    workspace_id uuid not null references control.workspaces on delete cascade,
    provider text not null,
    account_id text not null,
    event_date date not null,
    version bigint not null,
    by_account integer not null default 0,
    by_campaign integer not null default 0,
    by_adset integer not null default 0,
    by_ad integer not null default 0,
    by_minute integer not null default 0,
    by_hour integer not null default 0,
    by_day integer not null default 0,
    changed_at timestamptz not null default now(),
    primary key (event_date, provider, account_id)
);
comment on table raw.ingested_days is
    'Account-days of posted facts; each change raises the version.';
comment on column raw.ingested_days.by_account is
    'Measures, a bit for each, that were ever posted at this level; so for the other levels and '
    'grains: only where two have the same measure may something count twice.';

create table raw.ingested_days_built (
    event_date date not null,
    provider text not null,
    account_id text not null,
    version bigint not null,
    built_at timestamptz not null default now(),
    primary key (event_date, provider, account_id)
);
comment on table raw.ingested_days_built is
    'The version of each account-day that the marts were last built from. A build notes it before '
    'it reads the facts: what is posted meanwhile is another version.';

create table control.ingest_requests (
    workspace_id uuid not null references control.workspaces on delete cascade,
    idempotency_key text not null,
    body_hash bytea not null,
    response bytea,
    created_at timestamptz not null default now(),
    primary key (workspace_id, idempotency_key)
);
comment on table control.ingest_requests is
    'Requests to post facts, by the key that their sender gave them, with what was answered.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

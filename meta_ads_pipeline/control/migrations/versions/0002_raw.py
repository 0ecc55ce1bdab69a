"""raw: entities, their versions, insights by hour and by day, account totals, and what changed."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

ENTITY_COLUMNS = {
    "campaigns": "objective text",
    "adsets": "campaign_id text",
    "ads": "campaign_id text, adset_id text, creative_id text",
    "creatives": "object_type text",
}

STATEMENTS = """
create schema if not exists raw;

create table raw.ad_accounts (
    account_id text primary key,
    name text,
    currency text not null,
    timezone text not null,
    document jsonb not null,
    document_hash text not null,
    first_seen_at timestamptz not null,
    changed_at timestamptz not null,
    pulled_at timestamptz not null
);
comment on table raw.ad_accounts is 'Ad accounts as Meta returns them, current state.';

create table raw.entity_versions (
    account_id text not null,
    level text not null,
    entity_id text not null,
    valid_from timestamptz not null,
    document jsonb not null,
    document_hash text not null,
    primary key (level, entity_id, valid_from)
);
create index entity_versions_account on raw.entity_versions (account_id);
comment on table raw.entity_versions is
    'Each distinct document of an account, campaign, adset, ad or creative, from when it was seen.';

create table raw.insights_hourly (
    event_date date not null,
    account_id text not null,
    campaign_id text not null,
    adset_id text not null,
    ad_id text not null,
    event_hour smallint not null check (event_hour between 0 and 23),
    event_at timestamptz not null,
    hour_flag text check (hour_flag in ('repeated', 'skipped')),
    timezone text not null,
    currency text not null,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    actions jsonb,
    api_version text not null,
    pulled_at timestamptz not null,
    primary key (event_date, ad_id, event_hour)
) partition by range (event_date);
create index on raw.insights_hourly (account_id, event_date);
comment on table raw.insights_hourly is 'Ad x hour: delivery and on-Meta actions.';
comment on column raw.insights_hourly.event_hour is 'Account-local hour label, 0 to 23.';
comment on column raw.insights_hourly.event_at is 'Start of the hour as an instant.';
comment on column raw.insights_hourly.hour_flag is
    'repeated: autumn''s bucket of two hours; skipped: an hour that spring does not have.';

create table raw.insights_daily (
    event_date date not null,
    account_id text not null,
    campaign_id text not null,
    adset_id text not null,
    ad_id text not null,
    timezone text not null,
    currency text not null,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    reach bigint,
    frequency numeric,
    actions jsonb,
    action_values jsonb,
    attribution_setting text,
    api_version text not null,
    pulled_at timestamptz not null,
    primary key (event_date, ad_id)
) partition by range (event_date);
create index on raw.insights_daily (account_id, event_date);
comment on table raw.insights_daily is 'Ad x day: delivery, all actions and their values.';

create table raw.account_totals (
    event_date date not null,
    account_id text not null,
    timezone text not null,
    currency text not null,
    spend numeric,
    impressions bigint,
    clicks bigint,
    link_clicks bigint,
    reach bigint,
    frequency numeric,
    actions jsonb,
    action_values jsonb,
    api_version text not null,
    pulled_at timestamptz not null,
    primary key (event_date, account_id)
);
comment on table raw.account_totals is
    'Account x day: the control total, what Ads Manager shows.';

create table raw.insights_changes (
    change_id bigint generated always as identity primary key,
    account_id text not null,
    event_date date not null,
    asset text not null,
    entity_id text not null,
    event_hour smallint,
    measure text not null,
    old_value text,
    new_value text,
    previous_pulled_at timestamptz,
    detected_at timestamptz not null
);
create index on raw.insights_changes (account_id, event_date);
comment on table raw.insights_changes is
    'Restatements: each measure that a later pull changed, with what it was and what it became.';

create schema if not exists marts;
create table marts.metric_facts (
    natural_key text not null,
    workspace_id uuid not null,
    provider text not null,
    account_id text not null,
    level text not null,
    external_entity_id text not null,
    entity_id uuid not null,
    campaign_id text,
    adset_id text,
    ad_id text,
    grain text not null check (grain in ('minute', 'hour', 'day')),
    event_at timestamptz not null,
    event_date date not null,
    event_hour smallint,
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
    is_settled boolean not null,
    source text not null check (source in ('insights', 'ingest')),
    pulled_at timestamptz not null,
    primary key (natural_key, event_date)
) partition by range (event_date);
create index on marts.metric_facts (account_id, event_date);
create index on marts.metric_facts (event_at);
"""


def _entity_table(name: str, columns: str) -> str:
    return f"""
create table raw.{name} (
    id text primary key,
    account_id text not null,
    name text,
    status text,
    effective_status text,
    {columns},
    document jsonb not null,
    document_hash text not null,
    is_deleted boolean not null default false,
    missing_since timestamptz,
    first_seen_at timestamptz not null,
    changed_at timestamptz not null,
    pulled_at timestamptz not null
);
create index on raw.{name} (account_id);
comment on table raw.{name} is '{name.capitalize()} as Meta returns them, current state.';
comment on column raw.{name}.is_deleted is 'Deleted or gone, as a read by its id said.';
comment on column raw.{name}.missing_since is
    'No longer in the list since then: by itself no proof of deletion.';
"""


def upgrade() -> None:
    connection = op.get_bind().execution_options(no_parameters=True)
    connection.exec_driver_sql(STATEMENTS)
    for name, columns in ENTITY_COLUMNS.items():
        connection.exec_driver_sql(_entity_table(name, columns))

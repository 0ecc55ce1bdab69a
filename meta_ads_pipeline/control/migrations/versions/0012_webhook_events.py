"""control: what Meta's webhooks announced, each change once."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

STATEMENTS = """
create table control.webhook_events (
    webhook_event_id bigint generated always as identity primary key,
    fingerprint text not null unique,
    topic text not null,
    account_id text,
    field text,
    object_level text,
    object_id text,
    value jsonb not null,
    sent_at timestamptz,
    first_received_at timestamptz not null default now(),
    last_received_at timestamptz not null default now(),
    deliveries integer not null default 1,
    status text not null default 'pending'
        check (status in ('pending', 'done', 'kept', 'failed')),
    reason text,
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    finished_at timestamptz
);
comment on table control.webhook_events is
    'Changes that Meta''s webhooks announced, each once, however often it was delivered.';
comment on column control.webhook_events.fingerprint is
    'SHA-256 of topic, account, send time, field and value: the same for a change sent again.';
comment on column control.webhook_events.topic is 'Meta''s "object": ad_account, application, ...';
comment on column control.webhook_events.account_id is
    'Without act_. Null: of no ad account; 0 is the App Dashboard''s test.';
comment on column control.webhook_events.object_level is
    'account, campaign, adset, ad or creative, as the event names it; null: it names none.';
comment on column control.webhook_events.sent_at is 'The entry''s time, UTC.';
comment on column control.webhook_events.status is
    'pending: the object is to be read again. done: it was. kept: nothing to read, kept as data.'
    ' failed: given up after several attempts, with the reason.';
create index webhook_events_pending on control.webhook_events (next_attempt_at)
    where status = 'pending';
create index webhook_events_received on control.webhook_events (first_received_at);

create table control.webhook_requests (
    minute timestamptz not null,
    outcome text not null,
    requests integer not null,
    changes integer not null,
    new_changes integer not null,
    bytes bigint not null,
    primary key (minute, outcome)
);
comment on table control.webhook_requests is
    'Requests to the webhook receiver by minute (UTC) and outcome: accepted, or why refused.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

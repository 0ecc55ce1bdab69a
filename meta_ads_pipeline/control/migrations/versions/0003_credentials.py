"""control: what is known of a connection's token, and alerts."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = """
alter table control.connections
    add column user_id text,
    add column token_fingerprint text,
    add column reads_all_accounts boolean not null default true,
    add column refreshed_at timestamptz,
    add column refresh_attempted_at timestamptz;
comment on column control.connections.user_id is 'The person or system user behind the token.';
comment on column control.connections.token_fingerprint is
    'Beginning of the token''s SHA-256: tells two tokens apart, opens nothing.';
comment on column control.connections.reads_all_accounts is
    'False: only the ad accounts that were chosen, whatever else the token reads.';
comment on column control.connections.refresh_attempted_at is
    'The last attempt to renew the token; it succeeded if refreshed_at is the same.';

create table control.alerts (
    alert_id bigint generated always as identity primary key,
    kind text not null,
    subject text not null,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    stage text not null default '',
    message text not null,
    what_to_do text not null,
    times_raised integer not null default 1,
    first_raised_at timestamptz not null,
    last_raised_at timestamptz not null,
    escalated_at timestamptz not null,
    resolved_at timestamptz
);
create unique index alerts_one_open on control.alerts (kind, subject) where resolved_at is null;
comment on table control.alerts is
    'What a person should know or do. One open alert of a kind for a subject at a time.';
comment on column control.alerts.stage is
    'How far it has come (for an expiry, the days ahead); a new stage is news again.';
comment on column control.alerts.escalated_at is
    'When it was first raised or last became worse: what a notifier compares with.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

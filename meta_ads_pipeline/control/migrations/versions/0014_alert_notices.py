"""control: who was told of which alert, and what nobody wants to be told."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = """
create table control.alert_notices (
    alert_id bigint not null references control.alerts on delete cascade,
    destination text not null,
    notice text not null check (notice in ('opened', 'recovered')),
    escalated_at timestamptz not null,
    attempts integer not null default 0,
    next_attempt_at timestamptz not null,
    sent_at timestamptz,
    error text,
    primary key (alert_id, destination, notice, escalated_at)
);
comment on table control.alert_notices is
    'Notices of alerts: sent, or not sent yet and why. One for each destination and escalation.';
comment on column control.alert_notices.destination is
    'Digest of the address in META_ADS_ALERT_URLS; the address itself may hold a secret.';

create table control.alert_mutes (
    kind text not null,
    subject text not null default '',
    muted_until timestamptz not null,
    primary key (kind, subject)
);
comment on table control.alert_mutes is
    'Alerts that are kept but not sent until then; an empty subject mutes all of the kind.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

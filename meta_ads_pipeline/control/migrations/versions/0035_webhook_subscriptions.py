"""control: what `meta-ads webhooks subscribe` chose, and which ad accounts have it."""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"

STATEMENTS = """
create table control.webhook_subscriptions (
    app_id text primary key,
    callback_url text not null,
    fields text[] not null,
    every_account boolean not null,
    subscribed_at timestamptz not null
);
comment on table control.webhook_subscriptions is
    'The receiver that an app was told to send the changes of ad accounts to.';
comment on column control.webhook_subscriptions.every_account is
    'Accounts that are seen later are subscribed, too; false: only those that were named.';

create table control.webhook_accounts (
    app_id text not null references control.webhook_subscriptions on delete cascade,
    account_id text not null,
    attempted_at timestamptz not null,
    reason text,
    primary key (app_id, account_id)
);
comment on table control.webhook_accounts is
    'Ad accounts that an app was asked to hear of; gone when one cannot be read any more.';
comment on column control.webhook_accounts.reason is
    'Why Meta refused; null: subscribed. A refused one is tried again after a day.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

"""control: sessions of people who have signed in to the dashboard with an API key."""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"

STATEMENTS = """
create table control.dashboard_sessions (
    token_hash bytea primary key,
    key_id uuid not null references control.api_keys on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index dashboard_sessions_key on control.dashboard_sessions (key_id);
comment on table control.dashboard_sessions is
    'Browsers that have signed in with an API key; a key that cannot be used any more ends them.';
comment on column control.dashboard_sessions.token_hash is 'SHA-256 of the cookie.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

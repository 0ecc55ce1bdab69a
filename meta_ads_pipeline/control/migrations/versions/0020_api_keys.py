"""control: who may read a workspace over HTTP: members and their API keys."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"

STATEMENTS = """
create table control.members (
    member_id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references control.workspaces on delete cascade,
    name text not null,
    role text not null check (role in ('viewer', 'operator', 'admin')),
    created_at timestamptz not null default now(),
    unique (workspace_id, name)
);
comment on table control.members is 'People and programs that use a workspace over HTTP.';
comment on column control.members.role is
    'viewer reads; operator also writes facts and starts syncs; admin may do everything.';

create table control.api_keys (
    key_id uuid primary key default gen_random_uuid(),
    workspace_id uuid not null references control.workspaces on delete cascade,
    member_id uuid not null references control.members on delete cascade,
    name text not null,
    prefix text not null unique,
    key_hash bytea not null unique,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
comment on table control.api_keys is 'Keys of the HTTP service. The key itself is stored nowhere.';
comment on column control.api_keys.prefix is 'The beginning of the key, by which people name it.';
comment on column control.api_keys.key_hash is
    'SHA-256 of the whole key: 256 random bits need no slow hash.';
comment on column control.api_keys.scopes is
    'What the key may be used for, at most what the role of its member may do.';
comment on column control.api_keys.expires_at is 'Null: never.';
"""


def upgrade() -> None:
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(STATEMENTS)

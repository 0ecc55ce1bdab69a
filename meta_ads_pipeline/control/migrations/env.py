"""Alembic's entry point: runs on the connection that ``Database.migrate`` hands over."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
connection.exec_driver_sql("create schema if not exists control")
context.configure(
    connection=connection, version_table="schema_version", version_table_schema="control"
)
with context.begin_transaction():
    context.run_migrations()

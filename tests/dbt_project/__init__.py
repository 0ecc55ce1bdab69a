"""Tests of the dbt project, on a real Postgres."""

"""dbt's place: the project, how its models are named in Dagster, its assets, its history.

Names of dagster-dbt and dbt that are overridden although they are not documented for it, and why.
``tests/transform/test_overrides.py`` fails when one of them is gone or no longer asked for.

======================================  ==========================================================
``dagster_dbt.compat``                  imported without dbt-core: its import takes 2 s
``asset_utils.select_unique_ids``       evaluates our selections without dbt
``DbtCliResource._cli_version``         ``dbt --version`` takes 2 s and looks for newer releases
``._initialize_dbt_core_adapter``       only dagster-dbt's own row counts would need one
``get_where_subquery``                  data tests look at the run's dates: ``in_window(column)``
``postgres__get_empty_schema_sql``      ``numeric`` without a precision is meant: no warning
``postgres__get_columns_in_relation``   arrays by their own name instead of ``ARRAY``
``postgres__check_for_schema_changes``  two relations' columns in one query of the catalog
``materialization_view_default``        views are replaced in place: their readers keep them
``materialization_table_default``       the same of tables
======================================  ==========================================================
"""

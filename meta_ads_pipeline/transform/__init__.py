"""Hand over to dbt: the project, how its models are named in Dagster, and its assets."""

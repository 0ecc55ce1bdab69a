"""How long everything is kept: rows, Dagster's records, files. ``docs/retention.md`` lists it."""

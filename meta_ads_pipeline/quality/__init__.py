"""Asset checks: is what was landed well-formed, complete, reconciled and plausible?

``catalogue`` declares every check and what it means when it fails, ``sql/`` has its rule,
``runner`` evaluates it over the dates of a run, keeps one result per account and day, and shows
what is open. ``gate`` does so before dbt: what blocks stays out of the facts.
"""

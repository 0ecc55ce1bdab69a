"""Asset checks: is what was landed well-formed, complete, reconciled and plausible?

Each check reads the dates of its run (one or a whole range), is evaluated once, and names the bad
days, accounts and rows in its metadata. Rules are Pandera models; what they need from the
database (the account's timezone, the parent of an ad) is selected beside the rows they judge.
"""

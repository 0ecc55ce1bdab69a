"""The hours of one ad account by this project and by its peers, against the same simulator.

``python -m benchmarks.peers --days 7 --ads 50 [airbyte] [meltano]``. Peers come from the package
index, each in an environment of its own, and are run as their documentation says, with the hourly
insight that a user of theirs has to define. They extract to a file; this project lands, reconciles
and builds its marts as well. dlt's source is not on the package index.
"""

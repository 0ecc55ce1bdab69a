"""The ``/insights`` edge: requests, rows, report runs."""

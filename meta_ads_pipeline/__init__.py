"""Meta ads by the hour in Postgres, proven against Ads Manager."""

__version__ = "0.1.0"

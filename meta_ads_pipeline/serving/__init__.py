"""The HTTP service: Meta's webhooks in; health and metrics out. No Dagster, no Graph API."""

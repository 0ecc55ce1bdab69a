"""The call budget that all processes share: limits, pace, concurrency."""

"""Measurements of speed, memory and cost; run them by ``python -m benchmarks [name ...]``."""

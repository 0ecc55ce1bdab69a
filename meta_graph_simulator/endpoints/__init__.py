"""Nodes, edges and what stands before them: routing, tokens, rate limits, batches."""

"""What goes wrong on demand: faults, rate limits, and errors as Meta words them."""

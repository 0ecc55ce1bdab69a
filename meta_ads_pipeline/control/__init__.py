"""What the pipeline remembers: settings of accounts, slices, dead letters, and its database."""

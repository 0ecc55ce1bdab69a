"""Talk to the Graph API: classified errors, bounded calls, exact numbers, no secrets let out."""

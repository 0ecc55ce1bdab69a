"""Recorded ad accounts, played back."""

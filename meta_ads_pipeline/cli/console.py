"""What is printed: consoles and error lines. Text of others is never read as Rich markup."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.text import Text

from meta_ads_pipeline.redaction import redact


def plain_console() -> Console:
    """A console on standard output. Names and Meta's words hold brackets: markup is off."""
    return Console(highlight=False, markup=False, emoji=False)


def steady_console() -> Console:
    """A console of its own file: Dagster redirects stdout and stderr while steps run."""
    descriptor = os.dup(sys.stdout.fileno())
    return Console(
        file=os.fdopen(descriptor, "w", buffering=1), highlight=False, markup=False, emoji=False
    )


def print_errors(*lines: str, heading: str = "error") -> None:
    """Print each line to standard error, without secrets."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in lines:
        console.print(labelled(heading, redact(line).strip(), "red"))


def labelled(label: str, text: str, style: str) -> Text:
    """``label: text`` with the label in colour; the text stands as it is."""
    return Text.assemble((f"{label}: ", style) if label else "", text)

"""Tells a run's log why its calls wait, and until when: else a step that waits looks hung."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from meta_ads_pipeline.control.database import Database, DatabaseError
from meta_ads_pipeline.rate_limit.limits import BudgetRules
from meta_ads_pipeline.rate_limit.waits import current_waits

LOOKS_EVERY_SECONDS = 10.0


@contextmanager
def waits_told(
    database: Database,
    rules: BudgetRules,
    tell: Callable[[str], object],
    every: float = LOOKS_EVERY_SECONDS,
) -> Iterator[dict[str, str]]:
    """Inside, each wait for a cap or a limit is told once, and again when its end has moved.

    ``every``: seconds between two looks. Gives what was told so far, by whose calls wait.
    """
    told: dict[str, str] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            try:
                waits = current_waits(database, rules)
            except (DatabaseError, psycopg.Error):
                continue  # whoever works with the database will say so
            for wait in waits:
                if told.get(wait.subject) != str(wait):
                    told[wait.subject] = str(wait)
                    tell(f"waiting: {wait}")

    thread = threading.Thread(target=look, name="waits", daemon=True)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()

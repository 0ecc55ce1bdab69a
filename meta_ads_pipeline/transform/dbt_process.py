"""dbt that ends with the process that started it: ``python -m`` this module, then dbt's arguments.

A worker that is killed cannot stop its dbt, which would go on writing the marts beside the dbt of
the next run, without the lock that the worker's connection held.
"""

from __future__ import annotations

import os
import threading
import time

PARENT_VARIABLE = "META_ADS_DBT_PARENT"
"""Environment: the process id of the one that started dbt."""

_LOOKS_EVERY_SECONDS = 0.2
_EXIT_CODE = 137  # as if killed with it


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOKS_EVERY_SECONDS)
    # Not sys.exit: dbt's threads would go on. Postgres rolls back what they had open.
    os._exit(_EXIT_CODE)


def main() -> None:
    """Run dbt's command line."""
    parent = int(os.environ.get(PARENT_VARIABLE) or os.getppid())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # Not before: the import takes seconds, in which the parent may be killed, too.
    from dbt.cli.main import cli

    cli(prog_name="dbt")


if __name__ == "__main__":
    main()

"""dbt that ends with the process that started it: ``python -m`` this module, then dbt's arguments.

A worker that is killed cannot stop its dbt, which would go on writing the marts beside the dbt of
the next run, without the lock that the worker's connection held.

Where the run has a server that has dbt imported, that one runs it (``dbt_server.py``).
"""

from __future__ import annotations

import os
import sys
import threading
import time

from meta_ads_pipeline.transform.dbt_server import ADDRESS_VARIABLE, EXIT_CODE, run_in_server

PARENT_VARIABLE = "META_ADS_DBT_PARENT"
"""Environment: the process id of the one that started dbt."""

_LOOKS_EVERY_SECONDS = 0.2


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOKS_EVERY_SECONDS)
    # Not sys.exit: dbt's threads would go on. Postgres rolls back what they had open.
    os._exit(EXIT_CODE)


def main() -> None:
    """Run dbt's command line."""
    parent = int(os.environ.get(PARENT_VARIABLE) or os.getppid())
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if address := os.environ.get(ADDRESS_VARIABLE):
        code = run_in_server(address, sys.argv[1:])
        if code is not None:
            sys.exit(code)
    # Not before: the import takes seconds, in which the parent may be killed, too.
    from dbt.cli.main import cli

    cli(prog_name="dbt")


if __name__ == "__main__":
    main()

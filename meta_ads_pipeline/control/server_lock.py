"""Who runs the server of a data directory: one machine, one container, one server at a time.

The server's processes inherit a file descriptor with an exclusive ``flock``. The kernel drops it
with the last of them, however they end: there is no process id to be believed, which another
container cannot see and another program may have by now. Between machines a lock may not reach (a
network disk): the owner's name is written beside it.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from meta_ads_pipeline.control.process_identity import Machine, this_machine


class ServerLock:
    """The lock and the owner's name, ``postgres.server`` in ``home``."""

    def __init__(self, home: Path) -> None:
        self.path = home / "postgres.server"

    def take(self) -> IO[str]:
        """The locked file with this machine as owner; to be inherited by the server, then closed.

        Raises ``BlockingIOError`` when a server holds it.
        """
        file = self.path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        machine = this_machine()
        file.truncate(0)
        file.write(f"{machine.host} {machine.boot} {machine.pid_namespace}\n")
        file.flush()
        return file

    def is_held(self) -> bool:
        """Whether a process of a server holds the lock, on this machine or one that shares it."""
        if not self.path.exists():
            return False
        with self.path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def owner(self) -> Machine | None:
        """The machine that ran the last server; None when it ended in good order, or never ran."""
        try:
            parts = self.path.read_text().split()
        except FileNotFoundError:
            return None
        return Machine(*parts) if len(parts) == 3 else None

    def other_machine(self) -> Machine | None:
        """The owner where it is another machine, on which a server may live unseen from here."""
        owner, here = self.owner(), this_machine()
        # One kernel, whatever the container: then the lock says everything. After a restart of a
        # machine its name is the same, and nothing lives on.
        if owner is None or owner.boot == here.boot or owner.host == here.host:
            return None
        return owner

    def clear(self) -> None:
        """Forget the owner: the server was stopped in good order."""
        if self.path.exists():
            self.path.write_text("")

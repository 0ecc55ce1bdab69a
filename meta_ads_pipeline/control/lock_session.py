"""One database session for all the slice locks of this process, however many accounts wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from weakref import WeakKeyDictionary

import psycopg

from meta_ads_pipeline.control.database import Connection, Database

_making = threading.Lock()


class LockSession:
    """A session in which many threads hold locks; it ends when the last of them has left.

    Advisory locks belong to a session: each holder needs a lock id of its own, and unlocks it.
    """

    def __init__(self, database: Database) -> None:
        self._stack = ExitStack()
        self._turn = threading.RLock()
        self._users = 1
        self.connection: Connection = self._stack.enter_context(database.connect(autocommit=True))

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """The connection, for this thread alone: what others do would be in its transaction."""
        with self._turn:
            yield self.connection

    @property
    def is_open(self) -> bool:
        """Whether new holders may come: not after the server went away, nor after the last left."""
        return self._users > 0 and not self.connection.closed

    def leave(self) -> None:
        """One holder less."""
        with _making:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            with suppress(psycopg.Error):
                self._stack.close()


_sessions: WeakKeyDictionary[Database, LockSession] = WeakKeyDictionary()


def join_session(database: Database) -> LockSession:
    """The process's session with this database; whoever joins leaves it in the end.

    Raises ``DatabaseError`` when the server cannot be reached.
    """
    with _making:
        session = _sessions.get(database)
        if session is not None and session.is_open:
            session._users += 1
            return session
        session = _sessions[database] = LockSession(database)
        return session

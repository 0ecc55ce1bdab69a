"""Where the embedded server's socket is: a folder that nobody else may enter.

The server trusts whoever reaches its socket, so the folder is the only lock on the door.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

_LONGEST_SOCKET_PATH = 100  # Linux allows 107 bytes, macOS 103
_PLAIN = re.compile(r"[\w./ +@~=-]+")
"""libpq reads a comma in a host as a list, Postgres quotes in its own way: others go elsewhere."""


class SocketFolderError(RuntimeError):
    """The folder belongs to somebody else; the message says which and what to do."""


def socket_folder(data_dir: Path) -> Path:
    """The data directory, or where its path is too long or unusual, a folder for temporary files.

    It is not made here: see ``make_private``.
    """
    path = str(data_dir / ".s.PGSQL.5432")
    if len(path.encode()) <= _LONGEST_SOCKET_PATH and _PLAIN.fullmatch(path):
        return data_dir
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"meta-ads-{digest}"


def make_private(folder: Path, user: str | None) -> None:
    """Make the folder, open to ``user`` (None: this one) alone.

    Raises ``SocketFolderError`` when it is there already and is another user's, or a link: who made
    it could read and answer for the server.
    """
    try:
        folder.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(folder, user, user)
    except FileExistsError:
        pass
    found = folder.lstat()
    owners = {os.geteuid(), _uid(user)}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise SocketFolderError(
            f"{folder} belongs to another user (id {found.st_uid}): remove it, or choose another "
            "META_ADS_HOME with a shorter path of plain characters"
        )
    if user is not None:
        shutil.chown(folder, user, user)
    folder.chmod(0o700)


def _uid(user: str | None) -> int:
    if user is None:
        return os.geteuid()
    import pwd

    return pwd.getpwnam(user).pw_uid

"""SQL that stands in files beside the Python that runs it: ``sql/<name>.sql`` in the same folder.

``%(name)s`` is a parameter, bound by psycopg; ``{{ name }}`` is text of the code's own, such as a
table or a list of columns: no value is ever written into a statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")


class SqlFolder:
    """The statements of the folder of one module: ``sql = SqlFolder(__file__)``."""

    def __init__(self, module: str) -> None:
        self._folder = Path(module).parent / "sql"

    def __call__(self, name: str, **names: str) -> bytes:
        """The statement ``<name>.sql``, with ``names`` put in.

        Raises ``KeyError`` for a name of the file that was not given, ``FileNotFoundError``
        for a file that is not there.
        """
        return _with_names(_text(self._folder / f"{name}.sql"), names)


@cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _with_names(text: str, names: Mapping[str, str]) -> bytes:
    return _PLACEHOLDER.sub(lambda found: names[found[1]], text).encode()

"""Equal values of a list, held in memory once.

Thousands of rows repeat the same ids, dates, hours and action items, which the parser makes anew
for each: shared, rows by the hour take a quarter of the memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class SharedValues:
    """What the rows of one list have had so far. Rows are changed in place, their values are not.

    Texts are shared, and the items of lists of objects whose members are all text. Anything else
    stays as parsed: ``1``, ``true`` and ``1.0`` are equal in Python, and different in JSON.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._items: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}

    def put_into(self, rows: Iterable[Any]) -> None:
        """Replace the values of each row that is an object, and the items of its lists."""
        text, items = self._texts.setdefault, self._items_of
        for row in rows:
            if type(row) is not dict:
                continue
            for name, value in row.items():
                if type(value) is str:
                    row[name] = text(value, value)
                elif type(value) is list:
                    row[name] = items(value)

    def _items_of(self, values: list[Any]) -> list[Any]:
        try:
            for each in values:
                "".join(each.values())
        except (AttributeError, TypeError):
            return values  # not objects of texts alone
        item = self._items.setdefault
        return [item(tuple(each.items()), each) for each in values]

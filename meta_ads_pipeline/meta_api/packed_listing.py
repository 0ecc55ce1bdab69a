"""Rows of a list in a fraction of the memory that dictionaries take.

The rows of a report are alike: the same members, and mostly the same ids, dates and labels. A
report of a hundred thousand of them is held until its last page has come, and so are several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from meta_ads_pipeline.meta_api.errors import MetaApiError
from meta_ads_pipeline.meta_api.left_out import LeftOut

_Shape = tuple[str, ...]
"""The names of an object's members."""


class PackedListing(Sequence[Any]):
    """The items of a list as they came; each is made anew when it is looked at.

    ``left_out`` and ``ended_early`` are those of a ``Listing``.
    """

    def __init__(self) -> None:
        # JSON has no tuples: a tuple is an object, as its shape and then its values.
        self._items: list[Any] = []
        self._shapes: dict[_Shape, _Shape] = {}
        self._texts: dict[str, str] = {}
        self.left_out: list[LeftOut] = []
        self.ended_early: MetaApiError | None = None

    def extend(self, items: Iterable[Any]) -> None:
        """Add what a page had."""
        self._items.extend(map(self._row, items))

    def _row(self, item: Any) -> Any:
        """An object with its texts shared, and those of objects in its lists (``actions``)."""
        if type(item) is not dict:
            return item
        texts = self._texts
        return (
            self._shape(item),
            *[
                texts.setdefault(each, each)
                if type(each) is str
                else [self._flat(inner) for inner in each]
                if type(each) is list
                else each
                for each in item.values()
            ],
        )

    def _flat(self, item: Any) -> Any:
        if type(item) is not dict:
            return item
        texts = self._texts
        values = item.values()
        return (
            self._shape(item),
            *[texts.setdefault(each, each) if type(each) is str else each for each in values],
        )

    def _shape(self, item: dict[str, Any]) -> _Shape:
        shape = tuple(item)
        return self._shapes.setdefault(shape, shape)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        """The items, as they came."""
        return map(_unpacked, self._items)

    @overload
    def __getitem__(self, position: int) -> Any: ...

    @overload
    def __getitem__(self, position: slice) -> list[Any]: ...

    def __getitem__(self, position: int | slice) -> Any:
        """An item, or several as a list."""
        if isinstance(position, slice):
            return [_unpacked(each) for each in self._items[position]]
        return _unpacked(self._items[position])


def _unpacked(item: Any) -> Any:
    if type(item) is not tuple:
        return item
    return {
        name: [_flat(inner) for inner in each] if type(each) is list else each
        for name, each in zip(item[0], item[1:], strict=True)
    }


def _flat(item: Any) -> Any:
    return dict(zip(item[0], item[1:], strict=True)) if type(item) is tuple else item

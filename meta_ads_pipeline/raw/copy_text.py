"""A frame -> Postgres COPY text, column by column: several times faster than row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from meta_ads_pipeline.raw.json_text import storable_text

_NULL = "\\N"
_ROWS_PER_BLOCK = 20_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_blocks(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[str]:
    """The rows of ``frame`` in COPY's text format, in blocks; null is null, numbers are exact."""
    texts = [_texts(frame[column]) for column in columns]
    for start in range(0, len(frame), _ROWS_PER_BLOCK):
        block = (column[start : start + _ROWS_PER_BLOCK] for column in texts)
        yield "\n".join(map("\t".join, zip(*block, strict=True))) + "\n"


def _texts(series: pd.Series[Any]) -> list[str]:
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        # Few distinct instants: format each once.
        codes, instants = pd.factorize(series)
        shown = [instant.isoformat() for instant in instants]
        return [shown[code] if code >= 0 else _NULL for code in codes.tolist()]
    if isinstance(series.dtype, pd.Int64Dtype):
        return [_NULL if value is pd.NA else str(value) for value in series.tolist()]
    return [_NULL if value is None else _escaped(str(value)) for value in series.tolist()]


def _escaped(text: str) -> str:
    if text.isalnum():
        return text
    if "\0" in text or not text.isascii():
        text = storable_text(text)
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return text.translate(_ESCAPES)
    return text

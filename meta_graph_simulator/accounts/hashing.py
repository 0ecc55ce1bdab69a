"""Counter-based randomness: a value is a hash of where it stands, never of what came before.

So any (ad, date, hour) can be computed alone, in any order and process, with the same result. Only
integer arithmetic and correctly rounded float operations are used (no exp, log or sin, whose last
bit differs between machines), so the numbers do not depend on the platform either.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

U64: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float64]

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M1 = 0xBF58476D1CE4E5B9
_M2 = 0x94D049BB133111EB


def key(*parts: str | int) -> int:
    """A 64-bit key for a named place, for example ``key(seed, "account", 2)``."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def mixed(state: int, counter: int) -> int:
    """One 64-bit value of the sequence that ``state`` names (splitmix64)."""
    value = (state + (counter + 1) * _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * _M1) & _MASK
    value = ((value ^ (value >> 27)) * _M2) & _MASK
    return value ^ (value >> 31)


def mix(states: U64, counters: U64 | int) -> U64:
    """``mixed`` for arrays; the two arguments broadcast."""
    if isinstance(counters, int):
        value = states + np.uint64((counters + 1) * _GOLDEN & _MASK)
    else:
        value = states + (counters + np.uint64(1)) * np.uint64(_GOLDEN)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_M1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_M2)
    return np.asarray(value ^ (value >> np.uint64(31)), dtype=np.uint64)


def unit(hashes: U64) -> Floats:
    """Hashes as floats in [0, 1) with 53 bits each."""
    return np.asarray((hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def counts(mean: Floats, hashes: U64) -> NDArray[np.int64]:
    """Integers with the given mean: rounded down or up by chance."""
    return np.floor(mean + unit(hashes)).astype(np.int64)


class Draws:
    """Scalar draws for one named place, in the order asked; for documents, not for delivery."""

    def __init__(self, *parts: str | int) -> None:
        self._state = key(*parts)
        self._counter = 0

    def next(self) -> int:
        """The next 64-bit value."""
        self._counter += 1
        return mixed(self._state, self._counter)

    def below(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        return self.next() % limit

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.below(100) < percent

    def choose(self, options: tuple[T, ...]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

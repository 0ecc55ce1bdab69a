"""Minor units as Meta counts them, and money as its texts.

Meta's offset table differs from ISO 4217: HUF, TWD, IDR and others have no minor unit here.
Source: Marketing API reference, Currencies.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_WITHOUT_MINOR_UNIT = frozenset(
    {"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"}
)


def offset(currency: str) -> int:
    """How many minor units make one major unit: 1 or 100."""
    return 1 if currency in _WITHOUT_MINOR_UNIT else 100


def major_text(minor: int, currency_offset: int) -> str:
    """An amount in minor units as an insights text, trailing zeros cut: 1230 is ``12.3``.

    ``currency_offset`` is any power of ten; so counts held in parts of one are written, too.
    """
    whole, rest = divmod(minor, currency_offset)
    if rest == 0:
        return str(whole)
    digits = len(str(currency_offset)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def minor_units(major: str, currency: str) -> int:
    """An insights text as minor units, rounded half up where it has more digits than those."""
    scaled = Decimal(major) * offset(currency)
    return int(scaled.to_integral_value(ROUND_HALF_UP))


class AmountTexts(dict[int, str]):
    """``major_text`` of amounts, remembered."""

    def __init__(self, currency_offset: int) -> None:
        super().__init__()
        self.offset = currency_offset

    def __missing__(self, minor: int) -> str:
        text = self[minor] = major_text(minor, self.offset)
        return text


def ratio_text(numerator: int, denominator: int, digits: int = 6) -> str:
    """A quotient of non-negative integers, rounded half up and without trailing zeros."""
    scale: int = 10**digits
    scaled = (2 * numerator * scale + denominator) // (2 * denominator)
    whole, rest = divmod(scaled, scale)
    if rest == 0:
        return str(whole)
    return f"{whole}.{rest:0{digits}d}".rstrip("0")

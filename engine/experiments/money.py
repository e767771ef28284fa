"""Amounts of money as shops write them: in a currency's main unit, or in smaller ones.

The minor units are those of ISO 4217, amendment 176 (2024): two digits where the table names none.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

PLACES: Final = 4
MAX_CHARS: Final = 40
MAX_DIGITS: Final = 18  # before the decimal point: more than any shop takes
# fmt: off
_WITHOUT: Final = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
    "XOF", "XPF",
)
# fmt: on
_THREE: Final = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_FOUR: Final = ("CLF", "UYW")
_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_WITHOUT, 0),
    **dict.fromkeys(_THREE, 3),
    **dict.fromkeys(_FOUR, 4),
}
_CODE: Final = re.compile("[A-Za-z]{3}")


def currency_code(text: str) -> str:
    """Return a currency in capitals, any other text as it is."""
    text = text.strip()
    return text.upper() if _CODE.fullmatch(text) else text


def is_currency_code(text: str) -> bool:
    """Return whether a text is three capitals, as ISO 4217 writes currencies."""
    return _CODE.fullmatch(text) is not None and text.isupper()


def minor_digits(currency: str) -> int:
    """Return how many decimal places the minor unit of a currency has: 2 for EUR, 0 for JPY."""
    return _DIGITS.get(currency, 2)


def amount(text: str, factor: Decimal | int = 1) -> Decimal | None:
    """Return the amount of `text`, of which `factor` make one main unit, in the main unit.

    It is rounded to PLACES decimal places if `factor` makes it longer. None if `text` is no number, or one that
    no shop means.
    """
    if len(text) > MAX_CHARS:
        return None
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > MAX_DIGITS:
        return None
    return number if factor == 1 else round(number / factor, PLACES)


def minor_amount(
    text: str, currency: str, digits: Mapping[str, int] | None = None
) -> Decimal | None:
    """Return an amount in minor units of `currency` as one in its main unit.

    `digits` has the decimal places where a shop's differ from ISO 4217. None as amount().
    """
    places = (digits or {}).get(currency, minor_digits(currency))
    return amount(text, Decimal(10) ** places)

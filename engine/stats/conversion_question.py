"""Questions about conversions, and their sums: what storage reads beside the counts of clicks."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from engine.clicks.dimension import Dimension
from engine.experiments.money import minor_digits

# A conversion counts in statistics up to this long after its click.
ATTRIBUTION: Final = timedelta(days=30)
MAX_SUMS: Final = 20_000


class ConversionFilter(NamedTuple):
    """A condition on the values of a conversion's click: one of `values` (=), none of them (!=), or one that
    contains one of them (~=); '': not known."""

    dimension: Dimension
    operator: str
    values: tuple[str, ...]


class ConversionQuestion(NamedTuple):
    """Conversions and movements of value in [start, end), by the values of `groups` and by row.

    `starts` are the starts of rows after the first, ascending: row 1 is before the first of them. `window`
    is how long after its click a conversion counts.
    """

    start: datetime
    end: datetime
    starts: tuple[datetime, ...] = ()
    groups: tuple[Dimension, ...] = ()
    conditions: tuple[ConversionFilter, ...] = ()
    window: timedelta = ATTRIBUTION


class ConversionSum(NamedTuple):
    """Conversions, and what they are worth by currency, refunds deducted: negative if the refunds of a time are
    more than its orders."""

    conversions: int
    revenue: Mapping[str, Decimal]


# By the values of the groups and the row, from 1.
ConversionSums = Mapping[tuple[tuple[str, ...], int], ConversionSum]
NO_CONVERSIONS: Final = ConversionSum(0, {})


def revenue_texts(revenue: Mapping[str, Decimal]) -> dict[str, str]:
    """Return amounts by currency as text, with at least the places of the currency: `{"EUR": "12.30"}`."""
    return {currency: _text(revenue[currency], currency) for currency in sorted(revenue)}


def _text(value: Decimal, currency: str) -> str:
    text = f"{value:.4f}".rstrip("0")
    places = len(text.partition(".")[2])
    return f"{value:.{max(places, minor_digits(currency))}f}"


def conversion_rate(conversions: int, clicks: int) -> float | None:
    """Return conversions per click, None without clicks. Above 1 if clicks convert more than once, or convert
    after the period of their click."""
    return round(conversions / clicks, 4) if clicks else None

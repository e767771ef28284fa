"""The language that a visitor prefers, by the Accept-Language header (RFC 9110, 12.5.4)."""

import re
from functools import lru_cache
from typing import Final

_FIRST: Final = re.compile(r"\s*([A-Za-z]{2,3})(?![A-Za-z0-9])")


def primary_language(header: str) -> str:
    """Return the primary subtag of the first language, in lower case (`de` of `de-AT,en;q=0.7`); browsers
    write the preferred one first. '' for none, `*`, or what is no language."""
    found = _FIRST.match(header)
    return found[1].lower() if found else ""


@lru_cache(4_096)
def preferred_language(header: str) -> str:
    """Return the language of the greatest weight, the first one of several, as `pt-br`; '' for none.

    A language of weight 0 is refused by the visitor (RFC 9110, 12.4.2).
    """
    best, best_weight = "", 0.0
    for part in header[:1_000].split(","):
        tag, _, parameters = part.partition(";")
        if (match := _TAG.fullmatch(tag.strip().lower())) is None:
            continue
        weight = _weight(parameters)
        if weight > best_weight:
            best, best_weight = match[0], weight
    return best


_TAG: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8})*")
_WEIGHT: Final = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*")


def _weight(parameters: str) -> float:
    match = _WEIGHT.fullmatch(parameters)
    return min(1.0, float(match[1])) if match else 1.0

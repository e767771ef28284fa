"""The language that a visitor prefers, by the Accept-Language header (RFC 9110, 12.5.4)."""

import re
from typing import Final

_FIRST: Final = re.compile(r"\s*([A-Za-z]{2,3})(?![A-Za-z0-9])")


def primary_language(header: str) -> str:
    """Return the primary subtag of the first language, in lower case (`de` of `de-AT,en;q=0.7`); browsers
    write the preferred one first. '' for none, `*`, or what is no language."""
    found = _FIRST.match(header)
    return found[1].lower() if found else ""

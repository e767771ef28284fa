"""The five UTM parameters, out of the part of a query that the door has kept of them."""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from engine.clicks.text import printable

MAX_VALUE: Final = 100  # characters


class UtmParameters(NamedTuple):
    """Decoded, '' where a parameter is absent."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""


NAMES: Final = UtmParameters._fields
NONE: Final = UtmParameters()
_SPACES: Final = re.compile(r"\s+")


def parse(query: bytes) -> UtmParameters:
    """`utm_source=ig&utm_medium=bio` as it came, percent-encoded. Of a name that comes twice the first
    counts, as it does for those who read it elsewhere; names in any case."""
    found: dict[str, str] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        key = name.decode("ascii", "replace").lower().removeprefix("utm_")
        if key in NAMES and key not in found:
            found[key] = normalise_value(unquote_plus(value.decode("utf-8", "replace")))
    return UtmParameters(**found) if found else NONE


def normalise_value(value: str) -> str:
    """Without control characters and outer blanks, one blank for several, cut."""
    return _SPACES.sub(" ", printable(value)).strip()[:MAX_VALUE].rstrip()

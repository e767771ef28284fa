"""The five UTM parameters, out of the part of a query that the door has kept of them."""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from engine.text import printable

NAMES: Final = ("source", "medium", "campaign", "term", "content")
MAX_VALUE: Final = 100  # characters


class Utm(NamedTuple):
    """Decoded, '' where a parameter is absent."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""


NONE: Final = Utm()
_SPACES: Final = re.compile(r"\s+")


def parse(query: bytes) -> Utm:
    """`utm_source=ig&utm_medium=bio` as it came, percent-encoded. Of a name that comes twice the first
    counts, as it does for those who read it elsewhere; names in any case."""
    found: dict[str, str] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        key = name.decode("ascii", "replace").lower().removeprefix("utm_")
        if key in NAMES and key not in found:
            found[key] = tidy(unquote_plus(value.decode("utf-8", "replace")))
    return Utm(**found) if found else NONE


def tidy(value: str) -> str:
    """Without control characters and outer blanks, one blank for several, cut."""
    return _SPACES.sub(" ", printable(value)).strip()[:MAX_VALUE].rstrip()

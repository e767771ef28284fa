"""The five UTM parameters, read from the part of a query that the edge keeps."""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from engine.common.text_rules import printable

MAX_VALUE: Final = 100  # characters


class UtmParameters(NamedTuple):
    """The decoded parameters, '' for an absent one."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""


NAMES: Final = UtmParameters._fields
NONE: Final = UtmParameters()
_SPACES: Final = re.compile(r"\s+")


def parse(query: bytes) -> UtmParameters:
    """Parse a percent-encoded query such as `utm_source=ig&utm_medium=bio`; names may be in any case.

    Of a name that comes twice the first counts, as in other analytics.
    """
    parameters: dict[str, str] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        key = name.decode("ascii", "replace").lower().removeprefix("utm_")
        if key in NAMES and key not in parameters:
            parameters[key] = normalise_value(unquote_plus(value.decode("utf-8", "replace")))
    return UtmParameters(**parameters) if parameters else NONE


def normalise_value(value: str) -> str:
    """Return the value without control characters and outer blanks, inner blanks merged, cut to its bound."""
    return _SPACES.sub(" ", printable(value)).strip()[:MAX_VALUE].rstrip()

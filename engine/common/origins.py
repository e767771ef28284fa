"""Origins of web pages that may use a credential in a browser: an allow-list of exact origins."""

import re
from collections.abc import Sequence
from typing import Final

from engine.common.errors import FieldError

MAX_ORIGINS: Final = 10
MAX_CHARS: Final = 255
# As a browser sends it: lower case, in ASCII, without a slash at the end, a path or a default port.
_ORIGIN: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?"
)


def is_origin(text: str) -> bool:
    """Return whether a text is the exact origin of a web page, as a browser sends it."""
    if len(text) > MAX_CHARS or _ORIGIN.fullmatch(text) is None:
        return False
    scheme, _, rest = text.partition("://")
    return not rest.endswith(":80" if scheme == "http" else ":443")


def origin_errors(origins: Sequence[str]) -> list[FieldError]:
    """Return the errors of an allow-list."""
    if len(origins) > MAX_ORIGINS:
        return [FieldError("origins", f"must be at most {MAX_ORIGINS}")]
    if len(set(origins)) < len(origins):
        return [FieldError("origins", "must have each origin once")]
    if not all(is_origin(origin) for origin in origins):
        return [
            FieldError(
                "origins",
                "must each be an origin as a browser sends it, such as https://app.example: scheme and host "
                "in lower case, no path, no default port",
            )
        ]
    return []

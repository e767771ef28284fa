"""The path that a visitor's path is meant to be: without what programs add when they make a link of text."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from engine.links.name import MAX_PATH_BYTES, canonical_path

# Ends of sentences, quotes and brackets around an address, and blanks. No name may end with one of them.
_ADDED: Final = (
    " \t\r\n.,;:!?'\"`<>()[]{}*|\\\u2018\u2019\u201c\u201d\u00ab\u00bb\u2026\u3002\uff0c\u00a0"
)
_BEFORE: Final = " \t\r\n'\"<([\u201c\u2018\u00ab\u00a0"
_INVISIBLE: Final = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


def near_path(path: bytes) -> bytes | None:
    """Return the canonical path without punctuation at its ends and invisible characters, for a raw path that
    leads nowhere; None if it has none of these."""
    meant = meant_path(path)
    return None if meant is None else canonical_path(meant)


def meant_path(path: bytes) -> bytes | None:
    """Return the raw path that near_path() makes canonical."""
    if len(path) > MAX_PATH_BYTES:
        return None
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return None
    meant = _INVISIBLE.sub("", text).rstrip(_ADDED)
    names = meant[1:].lstrip(_BEFORE)
    if not names or f"/{names}" == text:
        return None
    return b"/" + names.replace("%", "%25").encode()

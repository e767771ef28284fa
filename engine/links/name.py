"""Names in paths: handles of profiles and slugs of links.

All spellings of a name share its *canonical name*: NFC-normalised and case-folded. Canonical names are unique,
so `/Spring` and `/spring` are one link, unless a domain has rules of its own
(engine/links/slugs/slug_rules.py). An edge looks up the raw path first, and the canonical path only if that
misses.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from engine.common.errors import FieldError

MAX_NAME_CHARS: Final = 200
MAX_HANDLE_CHARS: Final = 32
# A visitor may spell a name decomposed and percent-encoded: 12 bytes for each code point of a letter.
MAX_PATH_BYTES: Final = 4096
# The rule as JSON Schema, for the API's reference. handle_errors() decides.
HANDLE_PATTERN: Final = "^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,30}[A-Za-z0-9_])?$"
_HANDLE: Final = re.compile(r"[a-z0-9](?:[a-z0-9_.\-]{0,30}[a-z0-9_])?")

# Names that a path has as they are.
_UNRESERVED: Final = re.compile("[A-Za-z0-9@_.~-]*").fullmatch
_EMOJI_SELECTOR: Final = re.compile(
    "(?<=[\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff])[\ufe0e\ufe0f]+"
)
# What the handle of an exact path begins with, as no handle and no slug does (engine/links/slugs/link_path.py).
EXACT: Final = "~"
_EXACT_START: Final = "/" + EXACT

# Paths that the engine answers itself, or may one day: no slug of the default domain and no handle.
RESERVED: Final = frozenset(
    {
        "v1", "v2", "api", "admin", "assets", "static", "docs", "healthz", "readyz", "metrics", "login",
        "logout", "signup", "openapi.json", "favicon.ico", "robots.txt", "sitemap.xml", ".well-known",
        "waypost.js", "qr",
    }
)  # fmt: skip


# The first part of the addresses of assets is no handle either.
_RESERVED_HANDLES: Final = RESERVED | {"a"}


def canonical_name(name: str) -> str:
    """Return a name in NFC, case-folded, and in NFC again, because folding can undo composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def slug_name(slug: str) -> str:
    """Return a slug in NFC with its case, and without the selectors by which keyboards ask for an emoji's
    picture or its text, so that both are one slug."""
    return _EMOJI_SELECTOR.sub("", unicodedata.normalize("NFC", slug))


def handle_errors(handle: str, field: str = "handle") -> list[FieldError]:
    """Return the errors of a profile's handle: 1-32 of a-z, 0-9, `_`, `.`, `-`, case ignored."""
    if not handle:
        return [FieldError(field, "must not be empty")]
    if _HANDLE.fullmatch(handle.lower()) is None:
        return [
            FieldError(
                field,
                "must have 1 to 32 of a-z, 0-9, '_', '.' and '-', and start and end with a letter or digit",
            )
        ]
    if handle.lower() in _RESERVED_HANDLES:
        return [FieldError(field, "must not be a reserved word")]
    return []


def canonical_path(path: bytes) -> bytes | None:
    """Return the canonical path of a visitor's raw path: percent-decoded, normalised and encoded again.

    None if the path cannot name a link or page: bad UTF-8, control characters, too long, too many parts.
    """
    if len(path) > MAX_PATH_BYTES:
        return None
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if text.startswith(_EXACT_START):
        return _exact_path(text)
    parts = canonical_name(text).strip("/").split("/")
    handle = parts[0] if len(parts) == 2 else parts[0][1:] if parts[0].startswith("@") else ""
    if len(parts) > 2 or len(handle) > MAX_HANDLE_CHARS or not handle.isascii():
        return None
    if not all(0 < len(part) <= MAX_NAME_CHARS for part in parts):
        return None
    if any(ord(c) < 0x21 or ord(c) == 0x7F for part in parts for c in part):
        return None
    return encode_path(*parts)


def _exact_path(text: str) -> bytes | None:
    handle, _, slug = text[1:].partition("/")
    slug = slug_name(slug).strip("/")
    names = slug.split("/")
    if not 1 < len(handle) <= MAX_HANDLE_CHARS + 1 or not handle.isascii():
        return None
    if len(slug) > MAX_NAME_CHARS or not all(names):
        return None
    if any(ord(c) < 0x21 or ord(c) == 0x7F for c in text):
        return None
    return encode_path(handle.lower(), *names)


def encode_path(*names: str) -> bytes:
    """Return `/a/b` for canonical names, percent-encoded as browsers send it.

    An edge calls it for each link that it loads, and most names have nothing to encode.
    """
    encoded = [name if _UNRESERVED(name) else quote(name, safe="@-_.~") for name in names]
    return b"/" + "/".join(encoded).encode("ascii")

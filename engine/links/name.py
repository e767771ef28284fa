"""Names in paths: handles of profiles and slugs of links.

All spellings of a name share its *canonical name*: NFC-normalised and case-folded. Canonical names are unique,
so `/Spring` and `/spring` are one link. An edge looks up the raw path first, and the canonical path only if
that misses.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from engine.common.errors import FieldError
from engine.common.text_rules import hidden_character, hidden_reason

MAX_NAME_CHARS: Final = 200
MAX_HANDLE_CHARS: Final = 32
# A visitor may spell a name decomposed and percent-encoded: 12 bytes for each code point of a letter.
MAX_PATH_BYTES: Final = 4096
# The rules as JSON Schema, for the API's reference. handle_errors() and slug_errors() decide.
HANDLE_PATTERN: Final = "^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,30}[A-Za-z0-9_])?$"
# Any character beyond ASCII passes: many programs that read JSON Schema do not know `\p{L}`.
SLUG_PATTERN: Final = r"^(?:[A-Za-z0-9_-]|[^\x00-\x7f]){1,200}$"
_HANDLE: Final = re.compile(r"[a-z0-9](?:[a-z0-9_.\-]{0,30}[a-z0-9_])?")

# Names that a path has as they are.
_UNRESERVED: Final = re.compile("[A-Za-z0-9@_.~-]*").fullmatch
# Variation selectors are marks, but two slugs that differ by one look alike.
_SELECTOR: Final = re.compile("[\\u180b-\\u180f\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef]")

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


def slug_errors(slug: str, field: str = "slug") -> list[FieldError]:
    """Return the errors of a link's slug: 1-200 letters of any script, marks, digits, `-`, `_`."""
    if not slug:
        return [FieldError(field, "must not be empty")]
    if len(canonical_name(slug)) > MAX_NAME_CHARS or len(slug) > MAX_NAME_CHARS:
        return [FieldError(field, f"must have at most {MAX_NAME_CHARS} characters")]
    if (hidden := _hidden_in(slug)) is not None:
        return [FieldError(field, hidden_reason(hidden))]
    if not all(c in "-_" or unicodedata.category(c)[0] in "LMN" for c in canonical_name(slug)):
        return [FieldError(field, "must have only letters, digits, '-' and '_'")]
    if canonical_name(slug) in RESERVED:
        return [FieldError(field, "must not be a reserved word")]
    return []


def _hidden_in(slug: str) -> str | None:
    """Return the first character of a slug that nobody sees, or None."""
    selector = _SELECTOR.search(slug)
    return selector[0] if selector else hidden_character(slug)


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
    parts = canonical_name(text).strip("/").split("/")
    handle = parts[0] if len(parts) == 2 else parts[0][1:] if parts[0].startswith("@") else ""
    if len(parts) > 2 or len(handle) > MAX_HANDLE_CHARS or not handle.isascii():
        return None
    if not all(0 < len(part) <= MAX_NAME_CHARS for part in parts):
        return None
    if any(ord(c) < 0x21 or ord(c) == 0x7F for part in parts for c in part):
        return None
    return encode_path(*parts)


def encode_path(*names: str) -> bytes:
    """Return `/a/b` for canonical names, percent-encoded as browsers send it.

    An edge calls it for each link that it loads, and most names have nothing to encode.
    """
    encoded = [name if _UNRESERVED(name) else quote(name, safe="@-_.~") for name in names]
    return b"/" + "/".join(encoded).encode("ascii")

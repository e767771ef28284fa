"""Tokens, shown to their user once: 256 random bits behind a prefix that names their kind.

A plain SHA-256 of a token is safe to store and fast to find, because nobody can guess 256 random bits.
"""

import hashlib
import secrets
from typing import Final, Literal

MAX_CHARS: Final = 200
PREFIX_CHARS: Final = 8  # of a `wp_…` key: shows 30 of its 256 bits

# An API key, a session, an invitation, a hook, a share (which only reads), a one-time token of recovery.
Prefix = Literal["wp_", "wps_", "wpi_", "wph_", "wpr_", "wpo_"]


def new(prefix: Prefix) -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes | None:
    """Return the SHA-256 that is stored for a token, or None if the text cannot be a token."""
    if len(token) > MAX_CHARS or not token.isascii():
        return None
    return hashlib.sha256(token.encode("ascii")).digest()


def require_digest(token: str) -> bytes:
    """Return the SHA-256 of a token that new() made."""
    return hashlib.sha256(token.encode("ascii")).digest()


def token_prefix(token: str) -> str:
    """Return the first characters of a token, by which its user may tell it from others."""
    return token[:PREFIX_CHARS]

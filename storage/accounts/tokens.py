"""Secrets that are shown once: 256 random bits behind a prefix that says what they open.

A plain SHA-256 of such a token is safe to store and fast to find: there is nothing to guess.
"""

import hashlib
import secrets
from typing import Final, Literal

MAX_CHARS: Final = 200
PREFIX_CHARS: Final = 8  # of `wp_…` 30 of the 256 bits

Prefix = Literal["wp_", "wps_", "wpi_", "wph_"]  # an API key, a session, an invitation, a hook


def new(prefix: Prefix) -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes | None:
    """What is stored of a token; None for a text that is none, whatever somebody has sent."""
    if len(token) > MAX_CHARS or not token.isascii():
        return None
    return hashlib.sha256(token.encode("ascii")).digest()


def require_digest(token: str) -> bytes:
    """The digest of a token of ours."""
    return hashlib.sha256(token.encode("ascii")).digest()


def token_prefix(token: str) -> str:
    """What may be shown of a token, to tell it from others."""
    return token[:PREFIX_CHARS]

"""A visitor's pseudonym: the same all day for one profile, and untraceable once the day's key is gone.

BLAKE2b (RFC 7693), keyed, 8 bytes, over

    i64 tenant | i64 profile | u8 length, network of the address | user agent

The ids have a fixed length and the network says its own, so no two inputs are written alike. Tenant and profile
are in it so that nobody who sees the data of several can recognise a visitor of one among those of another.
8 bytes: of a million visitors of a profile's day, 3 in 100 million share a pseudonym with another (birthdays).
"""

from hashlib import blake2b
from typing import Final

from engine.clicks.click import VISITOR_BYTES

KEY_BYTES: Final = 32


class Pseudonymiser:
    """Pseudonyms under one day's key. `of(profile + network + agent)`: `profile` is the ids, packed."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a visitor key has {KEY_BYTES} bytes")
        self._keyed = blake2b(digest_size=VISITOR_BYTES, key=key)

    def pseudonym(self, who: bytes) -> bytes:
        """0.6 µs: a copy of the keyed state spares hashing the key each time."""
        state = self._keyed.copy()
        state.update(who)
        return state.digest()

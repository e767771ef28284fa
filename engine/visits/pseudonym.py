"""A visitor's pseudonym: one for a profile and day, and untraceable once the daily key is gone.

BLAKE2b (RFC 7693), keyed, 8 bytes, over

    i64 tenant | i64 profile | u8 length, network of the address | user agent

The ids have a fixed length and the network is preceded by its own, so no two inputs have the same bytes. Tenant
and profile are part of it, so that the pseudonyms of one profile cannot be recognised in the data of another.
8 bytes: among a million visitors of a profile's day, the chance that two share a pseudonym is 3 in 100 million
(birthday problem).
"""

from hashlib import blake2b
from typing import Final

from engine.clicks.click import VISITOR_BYTES

KEY_BYTES: Final = 32


class Pseudonymiser:
    """Makes pseudonyms under one daily key, `key`. Raises ValueError for a key of another length."""

    __slots__ = ("_keyed", "key")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a daily key has {KEY_BYTES} bytes")
        self.key = key
        self._keyed = blake2b(digest_size=VISITOR_BYTES, key=key)

    def pseudonym(self, identity: bytes) -> bytes:
        """Return the pseudonym of packed ids, network and user agent.

        0.6 µs: copying the keyed state spares hashing the key each time.
        """
        state = self._keyed.copy()
        state.update(identity)
        return state.digest()

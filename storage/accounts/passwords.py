"""Hashing of passwords: argon2id, in threads, a bounded number at a time.

Guarantees:
- a check takes about as long for an unknown account as for an existing one;
- at most `AT_ONCE` hashes are computed at a time (each needs a core, and 64 MiB of memory by default), and
  at most `MAX_WAITING` wait; one more raises UnavailableError;
- the event loop never computes a hash.
"""

import base64
import secrets
from collections.abc import Callable
from typing import Final, TypeVar

import argon2
import trio

from engine.common.errors import UnavailableError
from engine.operations.metrics import Metric, Sample

AT_ONCE: Final = 2
MAX_WAITING: Final = 32
T = TypeVar("T")

WAITING_HASHES: Final = Metric(
    "waypost_password_hashes_waiting", "Password hashes that wait for a core"
)


class PasswordHasher:
    """Hashes and checks passwords with the parameters of `hasher`, by default those of RFC 9106."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._dummy_hash = _dummy_hash(self._hasher)

    @property
    def waiting(self) -> int:
        """The number of hashes that wait for a core."""
        return self._limiter.statistics().tasks_waiting

    def samples(self) -> list[Sample]:
        return [WAITING_HASHES.sample(self.waiting)]

    async def hash(self, password: str) -> str:
        """Return the hash of a password. Raises UnavailableError when too many wait."""
        return await self._in_thread(lambda: self._hasher.hash(_bytes(password)))

    async def check(self, password: str, stored: str | None) -> bool:
        """Return whether `stored` is the hash of the password. Without a hash, does equal work and returns
        False."""

        def work() -> bool:
            try:
                return self._hasher.verify(stored or self._dummy_hash, _bytes(password))
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False

        return await self._in_thread(work) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(stored)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self.waiting >= MAX_WAITING:
            raise UnavailableError("too many passwords are being checked; retry")
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _dummy_hash(hasher: argon2.PasswordHasher) -> str:
    """Return a hash of an unknown password. Checking it takes as long as checking a real one of `hasher`."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (hasher.salt_len, hasher.hash_len)
    )
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${parameters}${salt}${digest}"


def _bytes(password: str) -> bytes:
    # A JSON string may hold lone surrogates, which are not valid Unicode.
    return password.encode("utf-8", "surrogatepass")

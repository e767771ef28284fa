"""Passwords: argon2id, in threads, a bounded number at a time.

Guarantees:
- checking takes about as long for an account that does not exist as for one that does;
- at most `AT_ONCE` hashes are computed at a time (each takes its time of a core, and memory: 64 MiB by
  default) and `MAX_WAITING` wait; one more is UnavailableError;
- the event loop never computes one.
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
    "waypost_password_hashes_waiting", "Hashes of passwords that wait for a core"
)


class PasswordHasher:
    """Hashes and checks passwords, as `hasher` says; its defaults are those of RFC 9106."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._nobodys = _of_nobody(self._hasher)

    @property
    def waiting(self) -> int:
        """Hashes that wait for a core."""
        return self._limiter.statistics().tasks_waiting

    def samples(self) -> list[Sample]:
        return [WAITING_HASHES.sample(self.waiting)]

    async def hash(self, password: str) -> str:
        """Raises UnavailableError when too many wait."""
        return await self._in_thread(lambda: self._hasher.hash(_bytes(password)))

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether it is the password of the hash `stored`; never, without one, after the same work."""

        def work() -> bool:
            try:
                return self._hasher.verify(stored or self._nobodys, _bytes(password))
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False

        return await self._in_thread(work) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether it was hashed by other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self.waiting >= MAX_WAITING:
            raise UnavailableError("too many passwords are being checked; retry")
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _of_nobody(hasher: argon2.PasswordHasher) -> str:
    """A hash of no known password, that takes as long to check as another one of `hasher`'s."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (hasher.salt_len, hasher.hash_len)
    )
    parameters = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${parameters}${salt}${digest}"


def _bytes(password: str) -> bytes:
    # JSON may hold what is not valid Unicode.
    return password.encode("utf-8", "surrogatepass")

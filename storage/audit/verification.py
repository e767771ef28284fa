"""Verification of the log of changes: every chain from its first entry to its head, in bounded memory.

The hashes are computed here, not by the database's own function, so that a change of that function hides
nothing.

- Detected: an entry that was changed, exchanged, added or removed anywhere in a chain, with or without
  triggers; a chain whose end was cut off; a head that was changed.
- Not detected: a chain that a superuser rewrote as a whole together with its head, or removed with it. Against
  that, keep exports or the hashes of the heads elsewhere.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

import asyncpg

from engine.common.errors import UnavailableError
from storage.bridge import in_asyncio
from storage.postgres import queries
from storage.postgres.connect import CONNECT_S, connect
from storage.postgres.database import Connection
from storage.postgres.session import open_cursor

_SQL: Final = queries.load("audit/verification")
_ROWS: Final = 1_000  # in memory at once
_REPORT_EVERY: Final = 10_000
Chain = tuple[int, int]
Progress = Callable[[int, int], None]


class AuditResult(NamedTuple):
    """Numbers of verified entries and chains. `broken` names the first entry that is not as it was written,
    or is empty."""

    entries: int
    chains: int
    broken: str = ""


class _BrokenError(Exception):
    """A chain is broken; the text names the entry."""


async def verify(url: str, progress: Progress = lambda done, of: None) -> AuditResult:
    """Verify all chains of the database at `url`, in one database snapshot.

    `progress(done, of)` is called every 10,000 entries with the number of verified entries and an estimate
    of all. Raises UnavailableError.
    """

    async def run() -> AuditResult:
        connection = await connect(url, "waypost doctor")
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await connection.execute(
                    "SET LOCAL ROLE waypost_owner; SET LOCAL search_path = waypost"
                )
                return await _ChainWalk(connection, progress).run()
        finally:
            await connection.close(timeout=CONNECT_S)

    try:
        return await in_asyncio(run)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidParameterValueError) as error:
        raise UnavailableError(
            f"the schema is not up to date ({error}): run `waypost migrate`"
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"Postgres does not answer: {error}") from error


class _ChainWalk:
    """Two cursors in the same order: entries, and the heads that their chains end at."""

    def __init__(self, connection: Connection, progress: Progress) -> None:
        self._connection = connection
        self._progress = progress
        self._entries = 0
        self._chains = 0

    async def run(self) -> AuditResult:
        # So that Postgres reads in the order of the index: a sort would take as long as reading.
        await self._connection.execute("SET LOCAL cursor_tuple_fraction = 0.001")
        estimated_entries = await self._connection.fetchval(_SQL["estimated"])
        heads = await self._rows("heads")
        chain, seq, digest = (0, 0), 0, b""
        try:
            async for row in await self._rows("entries"):
                if (row[0], row[1]) != chain:
                    if seq:
                        await self._end(heads, chain, seq, digest)
                    chain, seq, digest = (row[0], row[1]), 0, b""
                digest = _next(chain, seq, digest, row)
                seq += 1
                self._entries += 1
                if self._entries % _REPORT_EVERY == 0:
                    self._progress(self._entries, estimated_entries)
            if seq:
                await self._end(heads, chain, seq, digest)
            await self._end(heads, (2**63, 0), 0, b"")
        except _BrokenError as broken:
            return AuditResult(self._entries, self._chains, str(broken))
        return AuditResult(self._entries, self._chains)

    async def _rows(self, query: str) -> AsyncIterator[Any]:
        return await open_cursor(self._connection, _SQL[query], prefetch=_ROWS)

    async def _end(self, heads: AsyncIterator[Any], chain: Chain, seq: int, digest: bytes) -> None:
        """Raise _BrokenError unless the next head is the chain's and has this seq and hash."""
        while True:
            head: Any = await anext(heads, None)
            head_chain = (2**63, 0) if head is None else (head[0], head[1])
            if head_chain >= chain or head[2]:
                break
        if head_chain < chain:
            raise _BrokenError(
                f"{_name(head_chain, 1)} is missing, with all after it up to {head[2]}"
            )
        if chain == (2**63, 0):
            return
        if head_chain > chain:
            raise _BrokenError(f"{_name(chain, seq)} ends a chain that has no head")
        if head[2] > seq:
            raise _BrokenError(f"{_name(chain, seq + 1)} is missing, the chain ended at {head[2]}")
        if head[2] < seq:
            raise _BrokenError(
                f"{_name(chain, head[2] + 1)} was added, the chain ended at {head[2]}"
            )
        if head[3] != digest:
            raise _BrokenError(f"{_name(chain, seq)} is not the entry that the chain's head names")
        self._chains += 1


def _next(chain: Chain, seq: int, digest: bytes, row: Any) -> bytes:
    """Return the hash of the chain's next entry. Raises _BrokenError if `row` is another one."""
    if row[2] != seq + 1:
        raise _BrokenError(f"{_name(chain, seq + 1)} is missing, the next is {row[2]}")
    expected = hashlib.sha256(digest + row[4].encode()).digest()
    if row[3] != expected:
        raise _BrokenError(f"{_name(chain, row[2])} is not as it was written")
    return expected


def _name(chain: Chain, seq: int) -> str:
    return f"tenant {chain[0]}, profile {chain[1]}: entry {seq}"

"""Faults around the in-memory twins, as a network and servers cause them in the calls of one process.

A call may take any time before it arrives and any time before its answer does, fail without having
happened, or happen and lose its answer. A process that is killed gets no answers any more; one that is
stopped (SIGSTOP) gets them when it continues. The twins themselves stay as correct as they are.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.clicks.journal_shares import JournalShare
from engine.clicks.ports import ClickStream
from engine.common.errors import UnavailableError
from engine.stats.ledger_ports import ClickLedger, JournalLease
from storage.stats.memory_click_tables import MemoryClickTables

T = TypeVar("T")


class Trouble(Protocol):
    """The fate of a call."""

    async def meet(self, name: str, call: Callable[[], Awaitable[T]]) -> T: ...


class Server:
    """One server as all processes see it: up, or away until a time."""

    def __init__(self) -> None:
        self.away_until = 0.0

    @property
    def away(self) -> bool:
        return trio.current_time() < self.away_until


class Process:
    """One client process: it lives, is stopped for a while, or is dead."""

    def __init__(
        self, random: Random, fault_rate: float, delay_s: float, note: Callable[[str], object]
    ) -> None:
        """`note` is called with each event of the process."""
        self.note = note
        self.random = random
        self.fault_rate = fault_rate
        self.delay_s = delay_s
        self.dead = False
        self._goes_on = trio.Event()
        self._goes_on.set()

    def stop(self) -> None:
        if self._goes_on.is_set():
            self._goes_on = trio.Event()

    def go_on(self) -> None:
        self._goes_on.set()

    async def pause(self) -> None:
        """Wait; while the process is stopped, wait until it continues."""
        if self.random.random() < 0.5:
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep(self.random.expovariate(1 / self.delay_s))
        await self._goes_on.wait()

    def fails(self) -> bool:
        return self.random.random() < self.fault_rate


class Network:
    """The connection of one process to one server, with faults by chance."""

    def __init__(self, process: Process, server: Server) -> None:
        self._process = process
        self._server = server

    async def meet(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        await self._process.pause()
        if self._process.dead or self._server.away or self._process.fails():
            raise self._unavailable(f"{name} did not arrive")
        self._process.note(name)
        result = await call()
        await self._process.pause()
        if self._process.dead or self._process.fails():
            raise self._unavailable(f"{name} got no answer")
        return result

    def _unavailable(self, message: str) -> UnavailableError:
        self._process.note(message)
        return UnavailableError(message)


class FaultyClickStream:
    """A `ClickStream` behind a faulty connection."""

    def __init__(self, stream: ClickStream, trouble: Trouble) -> None:
        self._stream = stream
        self._trouble = trouble

    async def _call(self, name: str, *args: Any) -> Any:
        return await self._trouble.meet(name, partial(getattr(self._stream, name), *args))

    async def add(self, journal_id: UUID, previous: int, batch: Batch) -> bool:
        return bool(await self._call("add", journal_id, previous, batch))

    async def last(self, journal_id: UUID) -> int | None:
        last: int | None = await self._call("last", journal_id)
        return last

    async def reset(self, journal_id: UUID) -> None:
        await self._call("reset", journal_id)

    async def trim(self, journal_id: UUID, below: int) -> None:
        await self._call("trim", journal_id, below)

    async def read(
        self, journal_id: UUID, after: int, max_batches: int, wait_ms: int
    ) -> list[Batch]:
        batches: list[Batch] = await self._call("read", journal_id, after, max_batches, wait_ms)
        return batches


class FaultyClickLedger:
    """A `ClickLedger` behind a faulty connection."""

    def __init__(self, ledger: ClickLedger, trouble: Trouble) -> None:
        self._ledger = ledger
        self._trouble = trouble

    async def _call(self, name: str, *args: Any) -> Any:
        return await self._trouble.meet(name, partial(getattr(self._ledger, name), *args))

    async def register(self, journal_id: UUID) -> int:
        return int(await self._call("register", journal_id))

    async def watermark(self, journal_id: UUID) -> int | None:
        watermark: int | None = await self._call("watermark", journal_id)
        return watermark

    async def watermarks_of(self, journal_ids: Sequence[UUID]) -> dict[UUID, int]:
        watermarks: dict[UUID, int] = await self._call("watermarks_of", journal_ids)
        return watermarks

    async def complete(self, journal_id: UUID, last: int) -> None:
        await self._call("complete", journal_id, last)

    async def share(
        self, owner: str, ttl_s: float, handed_over: Collection[UUID] = ()
    ) -> JournalShare:
        share: JournalShare = await self._call("share", owner, ttl_s, handed_over)
        return share

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        leases: list[JournalLease] = await self._call("lease", owner, limit, ttl_s)
        return leases

    async def renew(
        self,
        owner: str,
        ttl_s: float,
        handed_over: Collection[UUID],
        limit_of: Callable[[JournalShare], int],
    ) -> tuple[JournalShare, list[JournalLease]]:
        """Be worse than the port: another process may come between the share and the leases."""
        share = await self.share(owner, ttl_s, handed_over)
        return share, await self.lease(owner, limit_of(share), ttl_s)

    async def release(self, owner: str) -> None:
        await self._call("release", owner)

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        moved: JournalLease = await self._call("commit", lease, batches)
        return moved

    async def delete_journal(self, journal_id: UUID) -> None:
        await self._call("delete_journal", journal_id)

    async def dead_letter(self, lease: JournalLease, batch: Batch, reason: str) -> JournalLease:
        moved: JournalLease = await self._call("dead_letter", lease, batch, reason)
        return moved


class WatchedLedger:
    """A `ClickLedger` that notes in `broken` each move of a watermark without its lease."""

    def __init__(self, ledger: ClickLedger, counts: MemoryClickTables, broken: list[str]) -> None:
        self._ledger = ledger
        self._counts = counts
        self._broken = broken
        self.register = ledger.register
        self.watermark = ledger.watermark
        self.complete = ledger.complete
        self.watermarks_of = ledger.watermarks_of
        self.share = ledger.share
        self.lease = ledger.lease
        self.renew = ledger.renew
        self.release = ledger.release
        self.delete_journal = ledger.delete_journal

    async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        return await self._guarded(lease, self._ledger.commit(lease, batches))

    async def dead_letter(self, lease: JournalLease, batch: Batch, reason: str) -> JournalLease:
        return await self._guarded(lease, self._ledger.dead_letter(lease, batch, reason))

    async def _guarded(self, lease: JournalLease, call: Awaitable[JournalLease]) -> JournalLease:
        row = self._counts.journals.get(lease.journal_id)
        # Tokens only grow: one that is old before the call cannot be right inside of it.
        stale = row is None or row.fencing_token != lease.fencing_token
        rollbacks = self._counts.rollbacks
        moved = await call
        # After a failover the old token may be that of the row again, and then its holder has the lease.
        if stale and moved != lease and rollbacks == self._counts.rollbacks:
            self._broken.append("a watermark was moved under a lease that was lost")
        return moved

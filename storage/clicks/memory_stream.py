"""The in-memory twin of storage/clicks/stream.py, and of the losses that Redis may bring to a stream."""

from uuid import UUID

import trio

from engine.clicks.batch import Batch


class MemoryStreams:
    """The server, which several `MemoryClickStream`s may share."""

    def __init__(self) -> None:
        self.entries: dict[UUID, list[Batch]] = {}
        self.added = trio.Event()

    def flush(self) -> None:
        """As FLUSHALL, or a restart without a file."""
        self.entries.clear()

    def lose_last(self, journal_id: UUID, count: int) -> None:
        """As a restart with an older file, or a failover: the newest entries are gone."""
        entries = self.entries.get(journal_id, [])
        del entries[max(0, len(entries) - count) :]


class MemoryClickStream:
    """`ClickStream` in memory."""

    def __init__(self, streams: MemoryStreams) -> None:
        self._streams = streams

    async def add(self, journal_id: UUID, previous: int, batch: Batch) -> bool:
        await trio.lowlevel.checkpoint()
        added = self._add(self._streams.entries.setdefault(journal_id, []), previous, batch)
        await trio.lowlevel.checkpoint()
        return added

    def _add(self, entries: list[Batch], previous: int, batch: Batch) -> bool:
        last = entries[-1].last if entries else 0
        if last == batch.last:
            return bool(entries) and entries[-1] == batch
        if last != previous:
            return False
        entries.append(batch)
        self._streams.added.set()
        self._streams.added = trio.Event()
        return True

    async def last(self, journal_id: UUID) -> int | None:
        await trio.lowlevel.checkpoint()
        entries = self._streams.entries.get(journal_id)
        return entries[-1].last if entries else None

    async def reset(self, journal_id: UUID) -> None:
        await trio.lowlevel.checkpoint()
        self._streams.entries.pop(journal_id, None)

    async def trim(self, journal_id: UUID, below: int) -> None:
        await trio.lowlevel.checkpoint()
        entries = self._streams.entries.get(journal_id, [])
        self._streams.entries[journal_id] = [
            batch for batch in entries[:-1] if batch.last >= below
        ] + entries[-1:]

    async def read(
        self, journal_id: UUID, after: int, max_batches: int, wait_ms: int
    ) -> list[Batch]:
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(wait_ms / 1000):
            while not (batches := self._above(journal_id, after)) and wait_ms > 0:
                await self._streams.added.wait()
        return batches[:max_batches]

    def _above(self, journal_id: UUID, after: int) -> list[Batch]:
        return [batch for batch in self._streams.entries.get(journal_id, ()) if batch.last > after]

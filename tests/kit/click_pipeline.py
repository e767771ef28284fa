"""The pipeline of clicks under test: a journal in memory, the twins, and faults by the names of calls."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID, uuid4

import trio

from engine.clicks.batch import Batch
from engine.clicks.click import Click
from engine.clicks.journal_format import encode_frame, encode_record
from engine.common.errors import UnavailableError
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.clicks.memory_stream import MemoryClickStream, MemoryStreams
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.shipped_batches import click
from tests.system.simulation.faults import FaultyClickLedger, FaultyClickStream

T = TypeVar("T")
MINUTE = 60.0


class Tape:
    """A journal in memory with one frame per write, and batches of `frames_a_batch` frames."""

    def __init__(self, frames_a_batch: int = 1, kept: int | None = None) -> None:
        """`kept` is how many counted clicks it can still read; None: reading one is an error."""
        self.id: UUID = uuid4()
        self.frames: list[Batch] = []
        self.forgotten = 0
        self.deleted = 0
        self.bytes_on_disk = 1
        self.reads = 0
        self._kept = kept
        self.discarded = self.removed = False
        self.dropped_clicks = self.dropped_bytes = 0
        self.unreadable: OSError | None = None
        self._frames_a_batch = frames_a_batch
        self._written = trio.Event()

    @property
    def appended(self) -> int:
        return self.frames[-1].last if self.frames else 0

    synced = appended

    @property
    def clicks(self) -> list[Click]:
        return [click(link_id=n) for n in range(1, self.appended + 1)]

    def write(self, *counts: int) -> None:
        for count in counts:
            first = self.appended + 1
            records = [encode_record(click(link_id=n)) for n in range(first, first + count)]
            self.frames.append(Batch(first, first + count - 1, encode_frame(first, records)))
        self._written.set()
        self._written = trio.Event()

    def read(self, after: int, max_bytes: int) -> Batch | None:
        self.reads += 1
        if self.unreadable is not None:
            raise self.unreadable
        if after < self.deleted:
            return Batch(after + 1, self.deleted, b"")
        frames = [frame for frame in self.frames if frame.last > after][: self._frames_a_batch]
        if not frames:
            return None
        assert self._kept is not None or frames[0].last > self.forgotten, "forgotten too early"
        return Batch(frames[0].first, frames[-1].last, b"".join(frame.payload for frame in frames))

    async def wait_synced(self, above: int) -> None:
        while self.synced <= above:
            await self._written.wait()

    @property
    def oldest(self) -> int:
        return self.deleted + 1

    def forget(self, committed: int, seen_s_ago: float = 0.0) -> None:
        self.forgotten = committed
        if self._kept is not None:
            self.deleted = max(self.deleted, committed - self._kept)

    async def sync(self) -> None:
        await trio.lowlevel.checkpoint()

    def holds_clicks(self) -> bool:
        return bool(self.frames)

    def discard(self) -> None:
        self.discarded = True

    def close(self, *, remove: bool) -> None:
        self.removed = remove


class Plan:
    """Faults by the name of the call: how many of the next calls fail, and how."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.errors: dict[str, Callable[[], Exception | None]] = {}
        self.away = False

    async def meet(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        self.calls[name] += 1
        if self.away or self.refused[name] > 0:
            self.refused[name] -= 1
            await trio.sleep(0.001)
            raise UnavailableError(f"{name} did not arrive")
        if name in self.errors and (error := self.errors[name]()) is not None:
            raise error
        result = await call()
        if self.unanswered[name] > 0:
            self.unanswered[name] -= 1
            raise UnavailableError(f"{name} got no answer")
        return result


class Pipeline:
    """The twins, each behind its own plan of faults."""

    def __init__(self) -> None:
        self.streams = MemoryStreams()
        self.counts = MemoryClickTables()
        self.redis = Plan()
        self.postgres = Plan()
        self.stream = FaultyClickStream(MemoryClickStream(self.streams), self.redis)
        self.ledger = FaultyClickLedger(
            MemoryClickLedger(self.counts, trio.current_time), self.postgres
        )

    def counted(self, journal_id: UUID) -> list[Click]:
        return [click for owner, click in self.counts.clicks if owner == journal_id]

    def entries(self, journal_id: UUID) -> list[int]:
        return [batch.last for batch in self.streams.entries.get(journal_id, [])]

    async def commit(self, tape: Tape, up_to: int) -> None:
        """Fold the tape's batches up to the sequence `up_to`, as an aggregator does."""
        ledger = MemoryClickLedger(self.counts, trio.current_time)
        leases = await ledger.lease("test", 100, 1000)
        (lease,) = [lease for lease in leases if lease.journal_id == tape.id]
        frames = [
            frame for frame in tape.frames if frame.last > lease.folded and frame.last <= up_to
        ]
        await ledger.commit(lease, frames)


async def until(condition: Callable[[], bool], limit_s: float = MINUTE) -> None:
    """Wait in virtual time until the condition holds; fail after `limit_s`."""
    with trio.fail_after(limit_s):
        while not condition():  # noqa: ASYNC110  (the condition has no event)
            await trio.sleep(0.05)

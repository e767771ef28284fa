"""One machine with edges, two aggregators, Redis and Postgres, and a seed that decides their faults.

Time is virtual, tasks are scheduled by the seed, and the parts between the twins are the real ones. Faults
occur for a while; then they stop, and all recorded clicks must be counted within a bounded time.

The promises, for every journal:
- no click is counted that was not recorded, and none twice;
- every recorded click is counted, except clicks that were not synced at a power loss;
- no unrecorded click is counted. Only a disk that fails twice in a row and then loses its process, or its
  power, may leave such a click for recovery;
- each click is counted in the time bucket of the wall clock, even if the clock jumps;
- the dimension counts are those of the rows, visitors included;
- no aggregator commits or dead-letters under a lease that another one has acquired;
- Postgres has no click that the disk can still lose.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch
from uuid import UUID

import trio
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import ORPHAN_INTERVAL_S, OrphanShipper
from engine.clicks.click import Click
from engine.clicks.ports import ClickStream
from engine.stats.ledger_ports import ClickLedger
from storage.clicks.journal import Journal
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.clicks.memory_stream import MemoryClickStream, MemoryStreams
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.faulty_files import Fault, FaultyFiles
from tests.kit.shipped_batches import NOW_US
from tests.system.simulation.faults import Process, Server, WatchedLedger
from tests.system.simulation.processes import Edge, Worker, orphans_in_order

EDGES = 2
WORKERS = 2
CHAOS_S = 15.0
DRAIN_S = 180.0
HOUR_US = 3_600_000_000
TRACED_EVENTS = 40


class BrokenPromiseError(AssertionError):
    """A broken promise of a run."""


class Build(NamedTuple):
    """The parts that a broken build replaces."""

    journal: Callable[..., Journal] = Journal
    living: Callable[..., ActiveJournalShipper] = ActiveJournalShipper
    orphans: Callable[..., OrphanShipper] = OrphanShipper
    aggregator: Callable[..., Aggregator] = Aggregator
    stream: Callable[[MemoryStreams], ClickStream] = MemoryClickStream
    ledger: Callable[[MemoryClickTables, Callable[[], float]], ClickLedger] = MemoryClickLedger
    disk: Callable[..., FaultyFiles] = FaultyFiles


@dataclass
class Account:
    """The promise of a journal: the first `kept` clicks of `recorded` are counted, and none of `refused`.

    If it `ended_in_doubt`, recovery may read clicks of `refused`: a failed write left them, and blotting
    them out failed too. At a power loss while it was `doubtful`, the disk may have only the first of the two.
    If counted segments were `not_kept` on a full disk and Postgres lost their clicks, dead letters name them.
    """

    recorded: list[Click] = field(default_factory=list)
    refused: list[Click] = field(default_factory=list)
    kept: int | None = None
    synced: int = 0
    doubtful: bool = False
    ended_in_doubt: bool = False
    not_kept: bool = False


class World:
    def __init__(self, seed: int, folder: Path, build: Build) -> None:
        self.random = Random(seed)
        self.folder = folder / "journals"
        self.build = build
        self.disk = build.disk(self._disk_fault, Random(seed))
        self.disk_rate = 0.0
        self.calm = False
        self.redis = Server()
        self.postgres = Server()
        self.streams = MemoryStreams()
        self.counts = MemoryClickTables()
        self.broken: list[str] = []
        self.ledger: ClickLedger = WatchedLedger(
            build.ledger(self.counts, trio.current_time), self.counts, self.broken
        )
        self.serials: Iterator[int] = count(1)
        self.accounts: dict[UUID, Account] = {}
        self.trace: list[str] = []
        # Longer than a standby is behind in this world, so that no click is lost.
        self.kept_s = self.random.choice([1.5, 6.0])
        self.wall_offset_us = 0
        self.drained_s = 0.0
        self.power = trio.Event()
        self.power.set()
        self._names = count(1)
        self._edges: list[Edge] = []
        self.workers: list[Worker] = []
        self._snapshot: dict[UUID, list[Any]] = {}
        self._standby: MemoryClickTables | None = None
        self._promoted_at = -self.kept_s
        self._fault_rate = self.random.choice([0.0, 0.02, 0.1])
        self._delay_s = self.random.choice([0.001, 0.02, 0.2])

    def process(self, name: str) -> Process:
        note = partial(self.note, f"{name}-{next(self._names)}")
        return Process(self.random, 0.0 if self.calm else self._fault_rate, self._delay_s, note)

    def note(self, actor: str, event: str) -> None:
        """Add to the trace, which is the same for each run of a seed."""
        self.trace.append(f"{trio.current_time():10.4f} {actor}: {event}")

    def wall_us(self) -> int:
        return NOW_US + int(trio.current_time() * 1_000_000) + self.wall_offset_us

    def _disk_fault(self, operation: str, number: int) -> Fault | None:
        if self.calm or self.random.random() >= self.disk_rate:
            return None
        fault = Fault(self.random.choice([5, 28]), self.random.choice(["before", "short", "after"]))
        self.note("disk", f"{operation} {number} fails {fault.when}")
        return fault

    # ---- what edges report -----------------------------------------------------------------------

    def begun(self, edge: Edge) -> None:
        self.accounts[edge.journal.id] = Account()

    def offered(self, edge: Edge, clicks: list[Click], taken: bool) -> None:
        account = self.accounts[edge.journal.id]
        edge.process.note(f"{len(clicks)} clicks {'recorded' if taken else 'refused'}")
        (account.recorded if taken else account.refused).extend(clicks)
        journal = edge.journal
        if journal.appended != len(account.recorded):
            raise BrokenPromiseError("appended is not what was recorded")
        if sum(journal.unrecorded.values()) != len(account.refused):
            raise BrokenPromiseError("unrecorded is not what was refused")

    def ended(self, edge: Edge) -> None:
        account = self.accounts.get(edge.journal.id)
        if account is not None:
            journal = edge.journal
            account.kept, account.synced = journal.appended, journal.synced
            account.not_kept = journal.kept.dropped > 0
            # Names are on the disk only when the sync that brings them there has ended.
            names = journal._names_synced and not journal._syncing
            account.doubtful = journal._in_doubt or not names
            account.ended_in_doubt = journal._in_doubt and edge.files.left_over

    # ---- the life of the world -------------------------------------------------------------------

    async def live(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(EDGES):
                await self._new_edge(nursery)
            for _ in range(WORKERS):
                self._new_worker(nursery, f"worker-{next(self.serials)}")
            with trio.move_on_after(CHAOS_S):
                await self._chaos(nursery)
            await self._calm_down(nursery)
            nursery.cancel_scope.cancel()

    async def _new_edge(self, nursery: trio.Nursery) -> None:
        edge = Edge(self)
        self._edges.append(edge)
        nursery.start_soon(self._keep, nursery, edge)

    async def _keep(self, nursery: trio.Nursery, edge: Edge) -> None:
        """Run edges as their launcher does: when one ends, start the next."""
        await edge.run()
        self._edges.remove(edge)
        await trio.sleep(0.3)
        await self.power.wait()
        await self._new_edge(nursery)

    def _new_worker(self, nursery: trio.Nursery, owner: str) -> None:
        worker = Worker(self, owner)
        self.workers.append(worker)
        nursery.start_soon(worker.run)

    async def _chaos(self, nursery: trio.Nursery) -> None:
        befall: list[tuple[int, Callable[[trio.Nursery], Awaitable[None]]]] = [
            (4, self._kill_edge),
            (2, self._stop_edge),
            (1, self._power_loss),
            (4, self._kill_worker),
            (4, self._pause_worker),
            (3, self._redis_away),
            (3, self._postgres_away),
            (3, self._flush),
            (3, self._lose_last),
            (3, self._rollback),
            (2, self._purge),
            (3, self._bad_disk),
            (2, self._clock_jump),
            (3, self._failover),
        ]
        weights, events = zip(*befall, strict=True)
        interval = self.random.choice([0.2, 0.7, 2.0])
        while True:
            await trio.sleep(self.random.expovariate(1 / interval))
            (event,) = self.random.choices(events, weights)
            self.note("chaos", event.__name__)
            with trio.CancelScope(shield=True):
                await event(nursery)

    async def _kill_edge(self, nursery: trio.Nursery) -> None:
        if self._edges:
            await self.random.choice(self._edges).kill()

    async def _stop_edge(self, nursery: trio.Nursery) -> None:
        living = [edge for edge in self._edges if edge.journal.id in self.accounts]
        if living:
            edge = self.random.choice(living)
            if self.random.random() < 0.5:
                nursery.start_soon(edge.stop)
            else:
                await edge.stop()

    async def _power_loss(self, nursery: trio.Nursery) -> None:
        self.power = trio.Event()
        for edge in list(self._edges):
            account = self.accounts.get(edge.journal.id)
            row = self.counts.journals.get(edge.journal.id)
            if account and row and row.folded > edge.journal.synced:
                raise BrokenPromiseError("Postgres has counted what was not synced")
            await edge.kill()
        for folder in orphans_in_order(self.folder):
            self.disk.lose_power(folder)
        for account in self.accounts.values():
            if account.kept is not None:
                account.ended_in_doubt |= account.doubtful or account.kept > account.synced
                account.kept = min(account.kept, account.synced)
        self.power.set()

    async def _kill_worker(self, nursery: trio.Nursery) -> None:
        worker = self.random.choice(self.workers)
        self.workers.remove(worker)
        await worker.kill()
        self._new_worker(nursery, worker.aggregator.owner)

    async def _pause_worker(self, nursery: trio.Nursery) -> None:
        process = self.random.choice(self.workers).process
        process.stop()
        nursery.start_soon(self._go_on_later, process)

    async def _go_on_later(self, process: Process) -> None:
        await trio.sleep(self.random.choice([0.5, 4.0, 8.0]))
        process.go_on()

    async def _redis_away(self, nursery: trio.Nursery) -> None:
        self.redis.away_until = trio.current_time() + self.random.choice([0.3, 2.0, 10.0])

    async def _postgres_away(self, nursery: trio.Nursery) -> None:
        self.postgres.away_until = trio.current_time() + self.random.choice([0.3, 2.0, 10.0])

    async def _flush(self, nursery: trio.Nursery) -> None:
        self.streams.flush()

    async def _lose_last(self, nursery: trio.Nursery) -> None:
        for journal_id in list(self.streams.entries):
            self.streams.lose_last(journal_id, self.random.randrange(1, 4))

    async def _rollback(self, nursery: trio.Nursery) -> None:
        """Restart Redis with its entries of the last call."""
        if self._snapshot and self.random.random() < 0.7:
            self.streams.entries = {key: list(kept) for key, kept in self._snapshot.items()}
        self._snapshot = {key: list(kept) for key, kept in self.streams.entries.items()}

    async def _purge(self, nursery: trio.Nursery) -> None:
        """Delete the rows of retired journals; the engine does so a day later."""
        for journal_id, row in list(self.counts.journals.items()):
            if row.retired:
                del self.counts.journals[journal_id]

    async def _failover(self, nursery: trio.Nursery) -> None:
        """Promote an asynchronous standby of Postgres, which lacks the commits of the last seconds."""
        # A standby that lacks what the last failover took back, and what was counted again before its journal's
        # edge looked, would be further behind than clicks are kept.
        if self._standby is None and trio.current_time() > self._promoted_at + self.kept_s:
            self._standby = self.counts.copy()
            behind_s = self.random.choice([0.05, 0.2, 0.7]) * self.kept_s
            nursery.start_soon(self._promote, behind_s)

    async def _promote(self, behind_s: float) -> None:
        await trio.sleep(behind_s)
        if self._standby is not None:
            self.note("postgres", f"a standby that is {behind_s:g} s behind is promoted")
            self.counts.go_back(self._standby)
            self._standby, self._promoted_at = None, trio.current_time()
            self.postgres.away_until = max(
                self.postgres.away_until, trio.current_time() + self.random.choice([0.0, 0.3, 5.0])
            )

    async def _bad_disk(self, nursery: trio.Nursery) -> None:
        self.disk_rate = self.random.choice([0.05, 0.3, 1.0])
        nursery.start_soon(self._good_disk)

    async def _good_disk(self) -> None:
        await trio.sleep(self.random.choice([0.2, 1.0, 5.0]))
        self.disk_rate = 0.0

    async def _clock_jump(self, nursery: trio.Nursery) -> None:
        self.wall_offset_us = self.random.choice([-HOUR_US, 0, HOUR_US])

    # ---- the end ---------------------------------------------------------------------------------

    async def _calm_down(self, nursery: trio.Nursery) -> None:
        self.calm = True
        while self._standby is not None:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
        self.redis.away_until = self.postgres.away_until = 0.0
        members: list[Edge | Worker] = [*self._edges, *self.workers]
        for process in [member.process for member in members]:
            process.fault_rate = 0.0
            process.go_on()
        # Until each journal that is counted was looked at, as Postgres may just have gone back.
        await trio.sleep(3 * ORPHAN_INTERVAL_S)
        for edge in self._edges:
            edge.visited = False
        begun = trio.current_time()
        with trio.move_on_after(DRAIN_S) as limit:
            while any(edge.pending for edge in self._edges) or len(self._edges) < EDGES:
                await trio.sleep(0.5)
                for edge in self._edges:
                    edge.visited = False
        self.drained_s = trio.current_time() - begun
        if limit.cancelled_caught:
            raise BrokenPromiseError(f"not drained {DRAIN_S:g} s after the last fault")
        for edge in self._edges:
            self.ended(edge)

    def judge(self) -> None:
        """Compare the ledger with the promises. Raises BrokenPromiseError."""
        counted: dict[UUID, Counter[Click]] = {}
        for journal_id, click in self.counts.clicks:
            counted.setdefault(journal_id, Counter())[click] += 1
        if unknown := set(counted) - set(self.accounts):
            raise BrokenPromiseError(f"journals {unknown} were never there")
        for journal_id, account in self.accounts.items():
            self._judge(account, counted.get(journal_id, Counter()), self._gaps(journal_id))
        if self.counts.deltas != [click for _, click in self.counts.clicks]:
            raise BrokenPromiseError("the counts are not those of the rows")
        if self.broken:
            raise BrokenPromiseError(self.broken[0])
        if [batch for _, batch, _ in self.counts.dead_letters if batch.payload]:
            raise BrokenPromiseError("an intact batch was dead-lettered")

    def _gaps(self, journal_id: UUID) -> set[int]:
        """Return the sequences of the journal's clicks that could not be read any more."""
        return {
            sequence
            for owner, batch, _ in self.counts.dead_letters
            if owner == journal_id and not batch.payload
            for sequence in range(batch.first, batch.last + 1)
        }

    def _judge(self, account: Account, counted: Counter[Click], gaps: set[int]) -> None:
        kept = len(account.recorded) if account.kept is None else account.kept
        twice = [click for click, times in counted.items() if times > 1]
        lost = [
            sequence
            for sequence, click in enumerate(account.recorded[:kept], 1)
            if click not in counted and not (account.not_kept and sequence in gaps)
        ]
        allowed = set(account.recorded)
        if account.ended_in_doubt:
            allowed.update(account.refused)
        invented = [click for click in counted if click not in allowed]
        if twice or lost or invented:
            raise BrokenPromiseError(
                f"{len(lost)} lost, {len(twice)} twice, {len(invented)} invented"
            )


def simulate(seed: int, folder: Path, build: Build = Build()) -> World:  # noqa: B008
    """Run the world of one seed, compare it with its promises, and return it. Errors have the trace's end."""
    random = Random(seed)
    worlds: list[World] = []

    async def run() -> None:
        worlds.append(World(seed, folder, build))
        await worlds[0].live()

    async def in_a_thread(function: Callable[..., Any], *args: Any) -> Any:
        await trio.sleep(random.choice([0.0, 0.001, 0.03, 0.3]))
        result = function(*args)
        await trio.lowlevel.checkpoint()
        return result

    # Threads, ids and the order of tasks are the only things that no seed would decide.
    with (
        patch("trio.to_thread.run_sync", in_a_thread),
        patch("storage.clicks.journal.uuid4", lambda: UUID(int=random.getrandbits(128), version=4)),
        patch("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True),
    ):
        trio._core._run._r.seed(seed)
        try:
            trio.run(run, clock=MockClock(autojump_threshold=0))
            worlds[0].judge()
        except BaseException as error:
            raise with_trace(error, worlds) from error.__cause__
        finally:
            for world in worlds:
                world.disk.let_go()
    return worlds[0]


def with_trace(error: BaseException, worlds: list[World]) -> BaseException:
    """Return the broken promise of a group of errors, or the error itself, with the last events."""
    if isinstance(error, BaseExceptionGroup):
        failures, others = error.split(BrokenPromiseError)
        if failures is not None and others is None:
            error = first_of(failures)
    for world in worlds:
        error.add_note("\n".join(["the last events:", *world.trace[-TRACED_EVENTS:]]))
    return error


def first_of(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group

"""The processes of the simulation: edges and aggregators, made of the real parts."""

from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from actors.clicks.aggregator import Aggregator
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import OrphanedJournal, OrphanShipper
from actors.clicks.watermarks import Watermarks
from actors.operations.supervisor import ChildSpec, Supervisor
from engine.clicks.journal_format import encode_record
from engine.common.errors import WaypostError
from storage.clicks.journal import Journal
from storage.clicks.recovery import OrphanReader, orphans
from tests.kit.faulty_files import FaultyFiles
from tests.kit.shipped_batches import click
from tests.system.simulation.faults import FaultyClickLedger, FaultyClickStream, Network, Process

if TYPE_CHECKING:
    from tests.system.simulation.world import World

SEGMENT_BYTES = 8 * 1024
MAX_SEGMENTS = 12
WINDOW_BYTES = 6 * 1024
LEASE_TTL_S = 3.0
LINKS = 5


def orphans_in_order(folder: Path) -> list[Path]:
    """Return the orphans in the order of their names; the times of files do not depend on the seed."""
    return sorted(orphans(folder))


class ProcessFiles:
    """The machine's disk as one process uses it: a dead process changes nothing."""

    def __init__(self, disk: FaultyFiles) -> None:
        self.dead = False
        # A write failed, and so did the one that should have blotted out what it had left.
        self.left_over = False
        self._failed: tuple[int, int] | None = None
        self._disk = disk
        self._open: set[int] = set()

    def create(self, path: Path, size: int) -> int:
        self._check()
        fd = self._disk.create(path, size)
        self._open.add(fd)
        return fd

    def open(self, path: Path) -> int:
        self._check()
        fd = self._disk.open(path)
        self._open.add(fd)
        return fd

    def write(self, fd: int, data: bytes, offset: int) -> None:
        self._check()
        try:
            self._disk.write(fd, data, offset)
        except OSError:
            self.left_over = self.left_over or self._failed == (fd, offset)
            self._failed = fd, offset
            raise
        self._failed = None

    def read(self, fd: int, size: int, offset: int) -> bytes:
        self._check()
        return self._disk.read(fd, size, offset)

    def sync(self, fd: int) -> None:
        self._check()
        self._disk.sync(fd)

    def sync_folder(self, path: Path) -> None:
        self._check()
        self._disk.sync_folder(path)

    def close(self, fd: int) -> None:
        self._check()
        self._open.discard(fd)
        self._disk.close(fd)

    def remove(self, path: Path) -> None:
        self._check()
        self._disk.remove(path)

    def remove_later(self, path: Path) -> None:
        self.remove(path)

    def rename(self, path: Path, to: Path) -> None:
        self._check()
        self._disk.rename(path, to)

    def _check(self) -> None:
        if self.dead:
            raise OSError("this process is dead")

    def let_go(self) -> None:
        for fd in self._open:
            self._disk.close(fd)
        self._open.clear()


class Edge:
    """An edge: journal, shipper and orphans under a supervisor, and visitors who come at random."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.process = world.process("edge")
        self.files = ProcessFiles(world.disk)
        self.journal: Journal = world.build.journal(
            world.folder,
            segment_bytes=SEGMENT_BYTES,
            max_bytes=SEGMENT_BYTES * MAX_SEGMENTS,
            sync_ms=100,
            kept_ms=int(world.kept_s * 1000),
            kept_bytes=SEGMENT_BYTES * 1000,
            files=self.files,
            clock=trio.current_time,
            wall_us=world.wall_us,
        )
        network = Network(self.process, world.redis), Network(self.process, world.postgres)
        stream = FaultyClickStream(world.build.stream(world.streams), network[0])
        ledger = FaultyClickLedger(world.ledger, network[1])
        watermarks = Watermarks(ledger)
        self.living: ActiveJournalShipper = world.build.living(
            self.journal,
            stream,
            ledger,
            window_bytes=WINDOW_BYTES,
            linger_s=0.05,
            watermarks=watermarks,
        )
        self.orphans: OrphanShipper = world.build.orphans(
            self._adopt,
            stream,
            ledger,
            window_bytes=WINDOW_BYTES,
            kept_s=world.kept_s,
            kept_bytes=lambda: SEGMENT_BYTES * 1000,
            watermarks=watermarks,
        )
        self.ended = trio.Event()
        self.visited = True
        self._scope = trio.CancelScope()
        self._adopted: dict[str, OrphanReader] = {}

    @property
    def pending(self) -> int:
        return self.living.pending + self.orphans.pending_clicks()

    async def run(self) -> None:
        """Run until the edge is killed, stopped, or gives up."""
        try:
            with self._scope:
                self.journal.open()
                self.world.begun(self)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._tree().run)
                    nursery.start_soon(self._visitors)
        except* WaypostError:
            self._die()  # the disk refuses, or restarts do not help
        finally:
            self.ended.set()
            self.files.let_go()
            for recovery in self._adopted.values():
                recovery._lock.release()
            self.journal._lock.release()

    def _tree(self) -> Supervisor:
        return Supervisor(
            "edge",
            [
                ChildSpec(name="journal", start=self.journal.run),
                ChildSpec(name="shipper", start=self.living.run),
                ChildSpec(name="orphans", start=self.orphans.run),
            ],
        )

    async def _visitors(self) -> None:
        random = self.world.random
        while self.visited:
            await trio.sleep(random.expovariate(5))
            count = random.choice([1, 1, 1, 2, 5, 30])
            clicks = [
                click(
                    link_id=serial % LINKS + 1,
                    at_us=self.world.wall_us(),
                    user_agent=b"x" * random.choice([0, 80]),
                    referrer=b"https://host%d/%d" % (serial % 3, serial),
                )._replace(visitor_id=b"visitor%d" % random.randrange(9))
                for serial in islice(self.world.serials, count)
            ]
            if not self.visited or self.process.dead:
                return
            taken = self.journal.append([encode_record(new_click) for new_click in clicks])
            self.world.offered(self, clicks, taken)

    def _adopt(self) -> list[OrphanedJournal]:
        taken: list[OrphanedJournal] = []
        for folder in orphans_in_order(self.world.folder):
            if folder == self.journal.folder or folder.name in self._adopted:
                continue
            recovery = OrphanReader(
                folder, self.files, released=lambda name: self._adopted.pop(name, None)
            )
            with suppress(OSError):
                if recovery.adopt():
                    self._adopted[folder.name] = recovery
                    taken.append(recovery)
        return taken

    def _die(self) -> None:
        if not self.process.dead:
            self.process.dead = self.files.dead = True
            self.process.note("dies")
            self.world.ended(self)

    async def kill(self) -> None:
        self._die()
        self._scope.cancel()
        await self.ended.wait()

    async def stop(self) -> None:
        """Drain as the role does, and leave no journal if all clicks are committed."""
        self.visited = False
        # A process that is killed meanwhile finds that its files are gone.
        with trio.move_on_after(3), suppress(OSError):
            await self.journal.sync()
            await self.living.drain()
            while self.living.pending:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.02)
        # The tree stops, the process still lives.
        finished = (
            not self.process.dead
            and self.living.pending == 0
            and await self.living.end_journal(kept=True)
        )
        if self.process.dead:
            return
        with suppress(OSError):
            self.journal.close(remove=finished)
        await self.kill()


class Worker:
    """An aggregator, restarted as its supervisor would; a successor has the same name."""

    def __init__(self, world: "World", owner: str) -> None:
        self.process: Process = world.process("worker")
        stream = FaultyClickStream(
            world.build.stream(world.streams), Network(self.process, world.redis)
        )
        ledger = FaultyClickLedger(world.ledger, Network(self.process, world.postgres))
        self.aggregator: Aggregator = world.build.aggregator(
            owner, stream, ledger, lease_ttl_s=LEASE_TTL_S
        )
        self.ended = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        with self._scope:
            tree = Supervisor("workers", [ChildSpec(name="aggregator", start=self.aggregator.run)])
            await tree.run()
        self.ended.set()

    async def kill(self) -> None:
        self.process.dead = True
        self.process.go_on()
        self._scope.cancel()
        await self.ended.wait()

"""The edge: visitors' door, profile actors, journal and shipper, in one process."""

import asyncio
import logging
import resource
import secrets
import socket
import time
from functools import partial

import trio

from actors.clicks.journals import ActiveJournalShipper, OrphanedJournal, OrphanShipper
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec
from actors.visits.changes import ChangePoller, follow_announcements
from actors.visits.daily_keys import DailyKeys
from actors.visits.places import watch_places
from actors.visits.registry import Registry
from api.processes.process import ProcessSpec, status_child, supervisor, until_stopped
from api.visits import metrics as visitor_metrics
from api.visits.client_resolver import ClientResolver
from api.visits.responses import visit_responses
from api.visits.server import VisitorServer
from engine.clicks.click_id import ClickIdCipher
from engine.common.errors import UnavailableError
from engine.operations.actor_tree import ActorStatus
from engine.operations.health import Component
from engine.operations.metrics import Sample
from engine.operations.settings import Settings
from engine.visits.pseudonym import KEY_BYTES
from storage.clicks import metrics as journal_metrics
from storage.clicks.journal import Journal
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.recovery import OrphanReader, orphans
from storage.clicks.stream import RedisClickStream
from storage.experiments.conversions import click_id_secret
from storage.postgres.database import Database
from storage.redis.client import RedisServer
from storage.visits.announcer import RedisAnnouncer
from storage.visits.daily_keys import RedisDailyKeyChannel, open_key_store
from storage.visits.geo import GeoPlaceLookup
from storage.visits.snapshots import PostgresSnapshotSource

logger = logging.getLogger("waypost.edge")

RUNNERS = 4
MAX_ADOPTED = 32
COMMIT_WAIT_S = 5.0
KEY_WAIT_S = 2.0
SEAL_INTERVAL_S = 5.0


class Edge:
    def __init__(
        self, assignment: ProcessSpec, settings: Settings, database: Database, redis: RedisServer
    ) -> None:
        self.assignment = assignment
        self.settings = settings
        self._database = database
        self._announcer = RedisAnnouncer(redis)
        stream, ledger = RedisClickStream(redis), PostgresClickLedger(database)
        self._folder = assignment.folder / "journals"
        self._adopted: dict[str, OrphanReader] = {}
        self.journal = self._open_journal()
        self._source = PostgresSnapshotSource(database)
        self.registry = Registry(
            self._source,
            visit_responses(secure=settings.visitors_url.startswith("https://")),
            max_links=settings.max_resident_links,
            max_unknown=settings.max_unknown_paths,
        )
        self.poller = ChangePoller(self._source, settings.poll_interval_ms / 1000)
        self.shipper = ActiveJournalShipper(
            self.journal,
            stream,
            ledger,
            window_bytes=settings.ship_window_bytes,
            linger_s=settings.ship_linger_ms / 1000,
        )
        self.orphans = OrphanShipper(
            self._adopt, stream, ledger, window_bytes=settings.ship_window_bytes
        )
        self.places = GeoPlaceLookup(settings.geo_file)
        self._key_channel = RedisDailyKeyChannel(redis)
        self.visitor_keys = DailyKeys(
            open_key_store(assignment.folder),
            self._key_channel,
            now_us=lambda: time.time_ns() // 1000,
            random_key=lambda: secrets.token_bytes(KEY_BYTES),
        )
        self.door = VisitorServer(
            socket.socket(fileno=assignment.sockets[0]),
            self.registry,
            self.journal,
            settings,
            ClientResolver(self.places.place, settings.trusted_hops),
            self.visitor_keys,
        )
        self.tree = supervisor("edge", self._children())

    def _open_journal(self) -> Journal:
        """Return this edge's journal, open. Orphaned journals count towards the disk that it may take."""
        journal = Journal(
            self._folder,
            segment_bytes=self.settings.journal_segment_bytes,
            max_bytes=self.settings.journal_max_bytes - self._orphaned_bytes(),
            sync_ms=self.settings.journal_sync_ms,
        )
        journal.open()
        return journal

    def _children(self) -> list[ChildSpec]:
        registry = self.registry
        return [
            ChildSpec(name="journal", start=self.journal.run),
            ChildSpec(name="shipper", start=self.shipper.run, look=self._shipping),
            ChildSpec(name="sealing", start=partial(run_every, SEAL_INTERVAL_S, self._seal)),
            ChildSpec(name="orphans", start=self.orphans.run, look=self._adopting),
            ChildSpec(
                name="poller",
                start=partial(self.poller.run, registry.changed),
                look=lambda: ActorStatus(last_error=self.poller.last_error),
            ),
            ChildSpec(
                name="announcements",
                start=partial(follow_announcements, self._announcer, registry.changed),
            ),
            # These tasks share one queue of actors with messages.
            *(
                ChildSpec(name=f"profiles-{i}", start=registry.dispatcher.run_one, look=self._mail)
                for i in range(RUNNERS)
            ),
            ChildSpec(name="finder", start=partial(registry.find, self.door.deliver)),
            ChildSpec(name="click-ids", start=self._learn_click_ids),
            ChildSpec(name="passivation", start=registry.sweep),
            ChildSpec(name="visitor-keys", start=self.visitor_keys.run),
            ChildSpec(
                name="geo", start=partial(watch_places, self.places, self.door.places_changed)
            ),
            ChildSpec(name="door", start=self._open_door),
            status_child(self.assignment, lambda: self.tree, self.components, self.samples),
        ]

    async def _learn_click_ids(self) -> None:
        """Ask for what click ids are sealed with, until it is known."""
        while self.registry.click_ids.cipher is None:
            try:
                self.registry.click_ids.cipher = ClickIdCipher(
                    await click_id_secret(self._database)
                )
            except UnavailableError:
                await trio.sleep(1)

    async def _open_door(self) -> None:
        # A visitor is served without a pseudonym rather than not at all.
        with trio.move_on_after(KEY_WAIT_S):
            await self.visitor_keys.ready.wait()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.door.descriptor, self.door.on_readable)
        try:
            while True:
                await trio.sleep(1)
                self.door.sweep()
        finally:
            loop.remove_reader(self.door.descriptor)

    async def _seal(self) -> None:
        self.journal.seal(self.settings.journal_seal_ms / 1000)
        self.journal.forget(self.shipper.shipper.committed)

    def _orphaned_bytes(self) -> int:
        return sum(
            file.stat().st_size
            for folder in orphans(self._folder)
            for file in folder.glob("*.segment")
        ) // max(1, sum(name.startswith("edge") for name in self.assignment.processes))

    def _adopt(self) -> list[OrphanedJournal]:
        """Take the journals of this folder that nobody holds any more."""
        taken: list[OrphanedJournal] = []
        for folder in orphans(self._folder):
            if len(self._adopted) >= MAX_ADOPTED:
                break
            if folder == self.journal.folder or folder.name in self._adopted:
                continue
            recovery = OrphanReader(folder, released=lambda name: self._adopted.pop(name, None))
            try:
                if recovery.adopt():
                    self._adopted[folder.name] = recovery
                    taken.append(recovery)
            except OSError as error:
                logger.error("journal %s cannot be taken over: %s", folder.name, error)
        return taken

    # ---- what it says of itself ---------------------------------------------------------------

    def _shipping(self) -> ActorStatus:
        shipper = self.shipper.shipper
        return ActorStatus(None, {"pending_clicks": self.shipper.pending}, shipper.last_error)

    def _adopting(self) -> ActorStatus:
        return ActorStatus(None, {"journals": self.orphans.adopted - self.orphans.finished})

    def _mail(self) -> ActorStatus:
        return ActorStatus(self.registry.dispatcher.waiting)

    def components(self) -> list[Component]:
        name = self.assignment.name
        journal = self.journal.failed
        errors = [self.poller.last_error] if self.poller.last_error else []
        return [
            Component(name, self.tree.children["door"].running, ""),
            Component(
                f"{name}/journal",
                journal is None,
                f"clicks are not recorded: {journal}" if journal else "",
            ),
            Component(f"{name}/postgres", not errors, "; ".join(errors)),
        ]

    def samples(self) -> list[Sample]:
        return [
            *visitor_metrics.samples(self.door),
            *journal_metrics.samples(self.journal),
            *self.shipper.samples(),
            *self.orphans.samples(),
            *self.registry.samples(),
            *self.places.samples(self.assignment.name),
            *self.visitor_keys.samples(),
            *self._key_channel.samples(),
            *self._database.samples(),
        ]

    # ---- the end ------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Stop accepting, answer what is in flight, sync, ship, and wait a while for the commit."""
        self.door.drain()
        with trio.move_on_after(self.settings.drain_timeout_ms / 1000):
            while self.door.connections:
                await trio.sleep(0.05)
                self.door.sweep()
        with trio.move_on_after(self.settings.drain_timeout_ms / 1000):
            await self.journal.sync()
            await self.shipper.drain()
            with trio.move_on_after(COMMIT_WAIT_S):
                while self.shipper.pending:  # noqa: ASYNC110  # bounded, at the end only
                    await trio.sleep(0.02)

    async def finish(self) -> None:
        """Once everything has stopped."""
        self.door.close()
        finished = self.shipper.pending == 0 and await self.shipper.delete_journal()
        self.journal.close(remove=finished)


def keep_memory_off_disk() -> None:
    """No core dump: it would have addresses and keys in it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


async def edge(assignment: ProcessSpec, settings: Settings, stop: Stop) -> None:
    keep_memory_off_disk()
    database = await Database.open(
        settings.database_url,
        role="waypost_edge",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    try:
        process = Edge(assignment, settings, database, redis)
        await until_stopped(process.tree, stop, process.drain)
        await process.finish()
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await database.close()

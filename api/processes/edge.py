"""Edge process: the visitors' server, profile actors, journal and shipper."""

import asyncio
import resource
import secrets
import socket
import time
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from actors.assets.served_files import EdgeAssetFiles
from actors.clicks.journal_watch import JournalWatch
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import OrphanShipper
from actors.clicks.shipper import Rollbacks
from actors.clicks.watermarks import Watermarks
from actors.operations.handover import Handover
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec
from actors.visits.changes import ChangePoller, follow_announcements
from actors.visits.daily_keys import DailyKeys
from actors.visits.entrances import Entrances
from actors.visits.hosts import Hosts
from actors.visits.places import watch_places
from actors.visits.qr_codes import QrCodes
from actors.visits.registry import Found, Registry
from api.processes.adoption import JournalAdoption
from api.processes.descriptors import connections_within_limit
from api.processes.process import ProcessSpec, status_child, supervisor, until_stopped
from api.visits import metrics as visitor_metrics
from api.visits.client_resolver import ClientResolver
from api.visits.compiled.selection import select_server
from api.visits.pages.visit_responses import visit_responses
from api.visits.server import VisitorServer
from api.visits.server_hits import ServerHits, deliver
from engine.clicks.click_id import ClickIdCipher
from engine.common.errors import UnavailableError
from engine.links.domain import host_of_url
from engine.operations.actor_tree import ActorStatus
from engine.operations.health import Component
from engine.operations.metrics import Sample
from engine.operations.settings import Settings
from engine.visits.domain_host import is_local
from engine.visits.pseudonym import KEY_BYTES
from storage.accounts.passwords import PasswordHasher
from storage.assets.stores import asset_files
from storage.clicks import metrics as journal_metrics
from storage.clicks.hit_ids import recent_hit_ids
from storage.clicks.journal import Journal
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.stream import RedisClickStream
from storage.experiments.conversions import click_id_secret
from storage.links.abuse.reports import PostgresReports
from storage.links.orphan_visits import PostgresOrphanVisits
from storage.pages.subscribers import PostgresSubscriptions
from storage.postgres.database import Database
from storage.redis.client import RedisServer
from storage.visits.announcer import RedisAnnouncer
from storage.visits.click_quotas import PostgresClickQuotas
from storage.visits.daily_keys import open_key_store
from storage.visits.domains import PostgresDomainSource
from storage.visits.edge_channel import DAILY_KEYS, ENTRANCES, RedisEdgeChannel
from storage.visits.geo import GeoPlaceLookup
from storage.visits.hit_socket import serve_hits
from storage.visits.snapshots import PostgresSnapshotSource

JOURNALS: Final = "journals"
DISPATCHERS: Final = 4
COMMIT_WAIT_S: Final = 5.0
KEY_WAIT_S: Final = 2.0
SEAL_INTERVAL_S: Final = 5.0


def _now_us() -> int:
    return time.time_ns() // 1000


class Edge:
    """Actors of one edge. `database` is opened as waypost_edge."""

    def __init__(
        self, spec: ProcessSpec, settings: Settings, database: Database, redis: RedisServer
    ) -> None:
        self._spec = spec
        self._handover = Handover(spec.handover)
        self._settings = settings
        self._database = database
        self._announcer = RedisAnnouncer(redis)
        self._key_channel = RedisEdgeChannel(redis, DAILY_KEYS)
        self._entrance_channel = RedisEdgeChannel(redis, ENTRANCES)
        self._places = GeoPlaceLookup(settings.geo_file)
        self._adoption = JournalAdoption(spec.folder / JOURNALS)
        self._journal = self._open_journal()
        stream, ledger = RedisClickStream(redis), PostgresClickLedger(database)
        window_bytes = settings.ship_window_bytes
        rollbacks = Rollbacks()
        self._watermarks = Watermarks(ledger)
        self._shipper = ActiveJournalShipper(
            self._journal,
            stream,
            ledger,
            window_bytes=window_bytes,
            linger_s=settings.ship_linger_ms / 1000,
            rollbacks=rollbacks,
            watermarks=self._watermarks,
        )
        self._orphans = OrphanShipper(
            partial(self._adoption.adopt, self._journal.folder),
            stream,
            ledger,
            window_bytes=window_bytes,
            kept_s=settings.journal_kept_ms / 1000,
            kept_bytes=self._orphans_kept_bytes,
            rollbacks=rollbacks,
            watermarks=self._watermarks,
        )
        self._watch = JournalWatch(lambda: [*self._shipper.states(), *self._orphans.states()])
        snapshots = PostgresSnapshotSource(database)
        self._domains = PostgresDomainSource(database)
        self._click_quotas = PostgresClickQuotas(database)
        self._passwords = PasswordHasher()
        self._poller = ChangePoller(snapshots, settings.poll_interval_ms / 1000)
        self._daily_keys = self._keys_of_days()
        self._entrances = Entrances(settings.max_entrances, self._daily_keys.pseudonymiser)
        self._registry = self._profile_registry(snapshots)
        self._selected = select_server(settings.visitor_core)
        self._server = self._visitor_server()
        clients = ClientResolver(self._places.place, 0)
        self._hits = ServerHits(self._registry, self._journal, clients, self._daily_keys, _now_us)
        self.tree = supervisor("edge", self._children())

    def _open_journal(self) -> Journal:
        """Open this edge's journal. Its limit is reduced by this edge's share of the orphans' bytes."""
        edges = sum(name.startswith("edge") for name in self._spec.processes)
        journal = Journal(
            self._spec.folder / JOURNALS,
            segment_bytes=self._settings.journal_segment_bytes,
            max_bytes=self._settings.journal_max_bytes
            - self._adoption.orphaned_bytes() // max(1, edges),
            sync_ms=self._settings.journal_sync_ms,
            kept_ms=self._settings.journal_kept_ms,
            kept_bytes=self._settings.journal_kept_bytes,
        )
        journal.open()
        return journal

    def _profile_registry(self, snapshots: PostgresSnapshotSource) -> Registry:
        settings = self._settings
        return Registry(
            snapshots,
            visit_responses(settings.visitors_url),
            max_links=settings.max_resident_links,
            max_unknown=settings.max_unknown_paths,
            entrances=self._entrances,
        )

    def _keys_of_days(self) -> DailyKeys:
        return DailyKeys(
            open_key_store(self._spec.folder),
            self._key_channel,
            now_us=_now_us,
            random_key=lambda: secrets.token_bytes(KEY_BYTES),
        )

    def _orphans_kept_bytes(self) -> int:
        """Return how many bytes of counted journals may be kept beside this edge's own; none on a full disk."""
        if self._journal.failed == "full":
            return 0
        return self._settings.journal_kept_bytes - self._journal.kept.bytes_on_disk

    def _visitor_server(self) -> VisitorServer:
        server = self._selected.server(
            socket.socket(fileno=self._spec.sockets[0]),
            self._registry,
            self._journal,
            self._settings,
            ClientResolver(self._places.place, self._settings.trusted_hops),
            self._daily_keys,
            QrCodes(self._settings.visitors_url.rstrip("/")),
        )
        server.hosts = hosts_of(self._settings)
        server.asset_files = EdgeAssetFiles(
            asset_files(self._settings.storage_url, self._spec.folder)
        )
        return server

    def _children(self) -> list[ChildSpec]:
        orphans = PostgresOrphanVisits(self._database)
        return [
            *self._recording(),
            *self._profiles(),
            ChildSpec(name="click-ids", start=self._learn_click_ids),
            *self._gates(),
            ChildSpec(name="daily-keys", start=self._daily_keys.run),
            *self._remembering(),
            ChildSpec(name="geo", start=partial(watch_places, self._places, self._places_changed)),
            ChildSpec(name="domains", start=partial(self._server.hosts.follow, self._domains)),
            ChildSpec(name="orphan-visits", start=partial(self._server.hosts.orphans.run, orphans)),
            ChildSpec(name="server", start=self._serve_visitors),
            ChildSpec(name="hits", start=self._serve_hits),
            status_child(self._spec, lambda: self.tree, self.components, self.samples),
        ]

    def _gates(self) -> list[ChildSpec]:
        """Return the actors that open links with a limit or a password, render pages and draw QR codes."""
        parts, deliver = self._registry.gate_parts, self._server.deliver
        lease = partial(parts.click_quotas.run, self._click_quotas, deliver)
        check = partial(parts.password_checks.run, self._passwords.check, deliver)
        sink = PostgresSubscriptions(self._database)
        subscribe = partial(self._registry.subscriptions.run, sink, deliver)
        reports = PostgresReports(self._database, self._settings.report_quarantine)
        return [
            ChildSpec(name="click-quotas", start=lease),
            ChildSpec(name="link-passwords", start=check),
            ChildSpec(name="pages", start=partial(self._registry.page_renders.run, deliver)),
            ChildSpec(name="subscriptions", start=subscribe),
            ChildSpec(
                name="link-reports", start=partial(self._registry.reports.run, reports, deliver)
            ),
            ChildSpec(name="qr-codes", start=partial(self._server.qr_codes.run, deliver)),
            ChildSpec(name="asset-files", start=partial(self._server.asset_files.run, deliver)),
        ]

    def _recording(self) -> list[ChildSpec]:
        """Return the actors that write clicks to disk and ship them to Redis."""
        return [
            ChildSpec(name="journal", start=self._journal.run),
            ChildSpec(name="shipper", start=self._shipper.run, status=self._shipper_status),
            ChildSpec(name="sealing", start=partial(run_every, SEAL_INTERVAL_S, self._seal)),
            ChildSpec(name="orphans", start=self._orphans.run, status=self._orphans_status),
        ]

    def _remembering(self) -> list[ChildSpec]:
        """Return the actors that keep visitors' entrances, and share them with other edges."""
        entrances, channel = self._entrances, self._entrance_channel
        return [
            ChildSpec(name="entrances", start=partial(entrances.announce, channel)),
            ChildSpec(name="other-entrances", start=partial(entrances.follow, channel, _now_us)),
            ChildSpec(name="old-entrances", start=partial(entrances.forget, _now_us)),
        ]

    def _profiles(self) -> list[ChildSpec]:
        """Return the actors that keep profiles in memory and up to date."""
        registry = self._registry
        return [
            ChildSpec(
                name="poller",
                start=partial(self._poller.run, registry.changed),
                status=lambda: ActorStatus(last_error=self._poller.last_error),
            ),
            ChildSpec(
                name="announcements",
                start=partial(follow_announcements, self._announcer, registry.changed),
            ),
            # The dispatchers share one queue of actors that have messages.
            *(
                ChildSpec(
                    name=f"profiles-{number}",
                    start=registry.dispatcher.run_one,
                    status=lambda: ActorStatus(registry.dispatcher.waiting),
                )
                for number in range(DISPATCHERS)
            ),
            ChildSpec(name="finder", start=partial(registry.find, self._deliver)),
            ChildSpec(name="preloader", start=registry.preloader.run),
            ChildSpec(name="passivation", start=registry.sweep),
        ]

    async def _learn_click_ids(self) -> None:
        """Read the secret of click ids from Postgres, once a second until it answers."""
        while self._registry.click_ids.cipher is None:
            try:
                secret = await click_id_secret(self._database)
                self._registry.click_ids.cipher = ClickIdCipher(secret)
            except UnavailableError:
                await trio.sleep(1)

    async def _serve_visitors(self) -> None:
        # After KEY_WAIT_S, serve visitors without a pseudonym rather than not at all.
        with trio.move_on_after(KEY_WAIT_S):
            await self._daily_keys.ready.wait()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._server.descriptor, self._server.on_readable)
        self._handover.say_serving()
        try:
            while True:
                await trio.sleep(1)
                self._server.sweep()
        finally:
            loop.remove_reader(self._server.descriptor)

    def _places_changed(self) -> None:
        self._server.places_changed()
        self._hits.places_changed()

    def _deliver(self, results: list[Found], available: bool) -> None:
        deliver(results, available, self._server.deliver)

    async def _serve_hits(self) -> None:
        """Take hits of servers, once the ids of those that were recorded before are known again."""
        since_s = time.time() - self._settings.journal_kept_ms / 1000
        folder = self._spec.folder / JOURNALS
        self._hits.remember(await trio.to_thread.run_sync(recent_hit_ids, folder, since_s))
        await serve_hits(self._spec.run_folder, self._spec.name, self._hits.record)

    async def _seal(self) -> None:
        self._journal.seal(self._settings.journal_seal_ms / 1000)
        self._shipper.forget()

    # ---- status -------------------------------------------------------------------------------

    def _shipper_status(self) -> ActorStatus:
        lag = {"pending_clicks": self._shipper.pending}
        return ActorStatus(None, lag, self._shipper.shipper.last_error)

    def _orphans_status(self) -> ActorStatus:
        return ActorStatus(None, {"journals": self._orphans.adopted - self._orphans.finished})

    def components(self) -> list[Component]:
        name = self._spec.name
        errors = [self._poller.last_error] if self._poller.last_error else []
        return [
            Component(name, self.tree.children["server"].running, ""),
            recording_component(
                f"{name}/journal", self._journal.failed, self._journal.unrecorded.total()
            ),
            self._watch.component(f"{name}/counting"),
            Component(f"{name}/postgres", not errors, "; ".join(errors)),
        ]

    def samples(self) -> list[Sample]:
        return [
            *visitor_metrics.samples(self._server),
            *self._selected.samples(),
            *self._hits.samples(),
            *journal_metrics.samples(self._journal),
            *self._shipper.samples(),
            *self._watermarks.samples(),
            *self._orphans.samples(),
            *self._watch.samples(),
            *self._registry.samples(),
            *self._registry.subscriptions.samples(),
            *self._registry.reports.samples(),
            *self._registry.page_renders.samples(),
            *self._registry.gate_parts.click_quotas.samples(),
            *self._registry.gate_parts.password_checks.samples(),
            *self._server.qr_codes.samples(),
            *self._server.asset_files.samples(),
            *self._server.hosts.samples(),
            *self._poller.samples(),
            *self._places.samples(self._spec.name),
            *self._daily_keys.samples(),
            *self._key_channel.samples(),
            *self._entrances.samples(),
            *self._entrance_channel.samples(),
            *self._database.samples(),
        ]

    # ---- end ----------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Serve until a successor does. Then stop accepting, answer requests in flight, sync, ship, and wait
        COMMIT_WAIT_S for the commit."""
        self._hits.refuse()
        await self._handover.leave()
        self._server.drain()
        with trio.move_on_after(self._settings.drain_timeout_ms / 1000):
            while self._server.connections:
                await trio.sleep(0.05)
                self._server.sweep()
        with trio.move_on_after(self._settings.drain_timeout_ms / 1000):
            await self._journal.sync()
            await self._shipper.drain()
            with trio.move_on_after(COMMIT_WAIT_S):
                await self._shipper.wait_counted()

    async def finish(self) -> None:
        """Close the server and the journal. Call it when all actors have stopped."""
        self._server.close()
        kept = self._settings.journal_kept_ms > 0
        finished = self._shipper.pending == 0 and await self._shipper.end_journal(kept=kept)
        self._journal.close(remove=finished)


def hosts_of(settings: Settings) -> Hosts:
    """Return the table of hosts, without domains yet. Hosts of which nothing is known are refused, unless the
    engine has no public name."""
    own = host_of_url(settings.visitors_url).encode()
    strict = settings.unknown_hosts == "refuse" or (
        settings.unknown_hosts == "auto" and not is_local(own)
    )
    return Hosts(own, strict=strict, known=False)


def recording_component(name: str, failed: str | None, unrecorded: int) -> Component:
    """Return whether clicks are recorded, and how many were not: the log's last line of a failure has both."""
    count = f"{unrecorded:,} clicks were not recorded since the start" if unrecorded else ""
    if failed is None:
        return Component(name, True, count)
    return Component(
        name, False, "; ".join(filter(None, (f"clicks are not recorded: {failed}", count)))
    )


def keep_memory_off_disk() -> None:
    """Forbid core dumps, because a dump would contain addresses and keys."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


async def edge(spec: ProcessSpec, settings: Settings, stop: Stop) -> None:
    """Run the edge until `stop` is requested. Raises WaypostError."""
    keep_memory_off_disk()
    connections = connections_within_limit(settings.max_connections)
    settings = replace(settings, max_connections=connections)
    database = await Database.open(
        settings.database_url,
        role="waypost_edge",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    try:
        process = Edge(spec, settings, database, redis)
        await until_stopped(process.tree, stop, process.drain)
        await process.finish()
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await database.close()

"""The registry: which path leads to which profile actor, and how profiles are loaded and passivated.

Hot: `paths` maps a raw path to its route; the visitor server reads it directly. Cold: waiters gather under
their path, and one finder asks storage for up to MAX_PATHS_A_QUERY paths at once, one query at a time, each
at least FIND_INTERVAL_S after the one before began. So a profile is loaded once however many wait, and a scan
of random paths reaches Postgres at a bounded rate whatever its own. Paths that lead nowhere are remembered,
bounded.

Freshness: an announcement, or else the poll of versions, sends the new version to the actor. A change of a
profile that is not resident invalidates all remembered unknown paths, in one step (an epoch). A change that
arrives while a query runs may be newer than what the query read: such a profile is looked up again.

Large profiles: their links come one by one, and in numbers once many were looked up
(actors/visits/preloader.py).

Memory: resident links are bounded, those that a page shows included; a profile without any counts as one.
A profile not visited since the sweep last passed is passivated: its routes are dropped and the next visitor
loads it again.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

import trio

from actors.visits.click_ids import ClickIds
from actors.visits.click_quotas import ClickQuotas
from actors.visits.entrances import Entrances
from actors.visits.forms.link_reports import LinkReports
from actors.visits.forms.password_checks import PasswordChecks
from actors.visits.forms.subscriptions import Subscriptions
from actors.visits.link_gate import GateParts
from actors.visits.mailbox import Dispatcher
from actors.visits.page_renders import PageRenders
from actors.visits.preloader import Preloader
from actors.visits.profile import ProfileActor, profile_actor
from actors.visits.responses import VisitResponses
from actors.visits.route import VisitRoute
from engine.common.errors import UnavailableError
from engine.links.profile import ProfileChange
from engine.operations.metrics import Metric, Sample
from engine.visits.ports import SnapshotSource
from engine.visits.snapshot import LinkBatch, Snapshot

MAX_PATHS_A_QUERY: Final = 500
MAX_WAITING: Final = 8192
FIND_INTERVAL_S: Final = 0.005
MAX_WAITERS_A_PART: Final = 32  # handed back at once
LINKS_PER_WAITER: Final = 8  # which take as long to admit as a waiter takes to answer
REFRESH_LIMIT: Final = 1000
PRELOADED_SHARE: Final = (
    8  # one profile may fill an eighth of an edge's memory ahead of its visitors
)
MAX_CHANGES_DURING_QUERY: Final = 10_000
_RETRY_S: Final = 0.2
_SWEEP_S: Final = 1.0
_SWEEP_PROFILES: Final = 128  # of one step, which takes a millisecond or two

Waiter = Any
Found = tuple[list[Waiter], VisitRoute | None]


RESIDENT_PROFILES: Final = Metric("waypost_resident_profiles", "Profiles that edges hold in memory")
RESIDENT_LINKS: Final = Metric("waypost_resident_links", "Links that edges hold in memory")
UNKNOWN_PATHS: Final = Metric(
    "waypost_unknown_paths", "Paths that edges remember as leading nowhere"
)
PATH_QUERIES: Final = Metric(
    "waypost_path_queries_total", "Queries to Postgres that looked paths up"
)
PATH_LOOKUPS: Final = Metric("waypost_path_lookups_total", "Paths looked up in Postgres")
REFUSED_LOOKUPS: Final = Metric(
    "waypost_path_lookups_refused_total",
    "Visits answered 503, as too many waited for their path to be looked up",
)
LOADED_PROFILES: Final = Metric("waypost_profiles_loaded_total", "Profiles loaded into memory")
PRELOADED_LINKS: Final = Metric(
    "waypost_links_preloaded_total",
    "Links of large profiles loaded into memory ahead of their visitors",
)
REFRESHED_PROFILES: Final = Metric(
    "waypost_profiles_refreshed_total", "Profiles in memory replaced by a newer version"
)
PASSIVATED_PROFILES: Final = Metric(
    "waypost_profiles_passivated_total", "Profiles dropped from memory to make room"
)
CLICKS_WITHOUT_ID: Final = Metric(
    "waypost_clicks_without_id_total",
    "Clicks whose target got no click id, as the edge did not have the secret yet",
)


class Registry:
    """The profile actors of one edge. Run `find`, `sweep`, `preloader.run` and some `dispatcher.run_one` as
    tasks."""

    def __init__(
        self,
        source: SnapshotSource,
        responses: VisitResponses,
        *,
        max_links: int,
        max_unknown: int,
        entrances: Entrances | None = None,
        gate_parts: GateParts | None = None,
        page_renders: PageRenders | None = None,
    ) -> None:
        self.paths: dict[bytes, VisitRoute] = {}
        # Ordered, as the first of a plain dict is searched for behind all that were removed before it.
        self.profiles: OrderedDict[int, ProfileActor] = OrderedDict()
        self.dispatcher = Dispatcher()
        self.click_ids = ClickIds()
        self.entrances = entrances or Entrances()
        self.gate_parts = gate_parts or GateParts(ClickQuotas(), PasswordChecks())
        self.page_renders = page_renders or PageRenders()
        self.subscriptions = Subscriptions()
        self.reports = LinkReports()
        self.refresh_limit = REFRESH_LIMIT
        self.links = 0
        self.preloader = Preloader(source, self._room, self._admit_following)
        self._source = source
        # Shared by all actors, one bound method too: there may be a million of them.
        self._parts_of_actor = (
            responses, self.click_ids, self.entrances, self.gate_parts, self.page_renders, self._refresh,
        )  # fmt: skip
        self._max_links = max_links
        self._enough_links = max_links * 9 // 10  # what a sweep leaves
        self._unknown: OrderedDict[bytes, int] = OrderedDict()
        self._max_unknown = max_unknown
        self._epoch = 0
        self._weight = 0
        # Versions by profile, announced since the finder's query began; None: too many to know them.
        self._changed_versions: dict[int, int] | None = {}
        self._waiting: dict[bytes, list[Waiter]] = {}
        self._waiters = 0
        self._wanted = trio.Event()
        self.counts = dict.fromkeys(
            ("queries", "lookups", "loaded", "refreshed", "passivated", "refused",
             "unavailable", "changes", "preloaded"), 0,
        )  # fmt: skip

    # ---- for the visitor server, synchronous --------------------------------------------------

    def is_unknown(self, path: bytes) -> bool:
        """Return whether the canonical path is known to lead nowhere."""
        return self._unknown.get(path) == self._epoch

    def wait(self, path: bytes, waiter: Waiter) -> bool:
        """Have the path looked up; the finder hands `waiter` back with its route. Returns False when too
        many wait."""
        if self._waiters >= MAX_WAITING:
            self.counts["refused"] += 1
            return False
        self._waiters += 1
        self._waiting.setdefault(path, []).append(waiter)
        self._wanted.set()
        return True

    # ---- the finder ---------------------------------------------------------------------------

    async def find(self, deliver: Callable[[list[Found], bool], None]) -> None:
        """Look waiting paths up, for ever. `deliver(found, available)` gets every waiter back once."""
        while True:
            while not self._waiting:
                self._wanted = trio.Event()
                await self._wanted.wait()
            paths = list(islice(self._waiting, MAX_PATHS_A_QUERY))
            loaded = [path for path in paths if path in self.paths]
            if loaded:  # ahead of their visitors, meanwhile
                await self._hand_back(loaded, [None] * len(loaded), self._epoch, deliver)
                continue
            epoch = self._epoch
            self._changed_versions = {}
            started = trio.current_time()
            self.counts["queries"] += 1
            self.counts["lookups"] += len(paths)
            try:
                snapshots = await self._source.find(paths)
            except UnavailableError:
                self.counts["unavailable"] += 1
                deliver([(self._take_waiters(path), None) for path in paths], False)
                await trio.sleep(0.1)
                continue
            await self._hand_back(paths, snapshots, epoch, deliver)
            await trio.sleep_until(started + FIND_INTERVAL_S)

    async def _hand_back(
        self,
        paths: list[bytes],
        snapshots: list[Snapshot | None],
        epoch: int,
        deliver: Callable[[list[Found], bool], None],
    ) -> None:
        """Admit what was found and hand every waiter back, in parts of about a millisecond: visitors of
        profiles in memory are served in between.

        Meanwhile a profile may change or leave, so each part looks at its paths anew.
        """
        results: list[Found] = []
        work, admitted = 0, set[int]()
        for path, snapshot in zip(paths, snapshots, strict=True):
            while path in self._waiting:
                if snapshot is not None and not (path in self.paths and id(snapshot) in admitted):
                    if not self._is_outdated(snapshot):
                        admitted.add(id(snapshot))
                        self._admit(snapshot)
                        work += 1 + len(snapshot.links)
                    elif path not in self.paths:
                        break  # its waiters stay, and are looked up again
                route = self.paths.get(path)
                if route is None and epoch == self._epoch:
                    self._remember_unknown(path)
                room = MAX_WAITERS_A_PART - work // LINKS_PER_WAITER
                waiters = self._take_waiters(path, max(1, room))
                results.append((waiters, route))
                work += LINKS_PER_WAITER * len(waiters)
                if work >= LINKS_PER_WAITER * MAX_WAITERS_A_PART:
                    deliver(results, True)
                    results, work = [], 0
                    await trio.lowlevel.checkpoint()
        deliver(results, True)

    def _take_waiters(self, path: bytes, limit: int = MAX_WAITING) -> list[Waiter]:
        """Return the first waiters of the path, at most `limit`, which wait no more."""
        waiting = self._waiting.pop(path, [])
        if len(waiting) > limit:
            self._waiting[path] = waiting[limit:]
        waiters = waiting[:limit]
        self._waiters -= len(waiters)
        return waiters

    def _is_outdated(self, snapshot: Snapshot) -> bool:
        changed = self._changed_versions
        if changed is None or changed.get(snapshot.profile_id, 0) > snapshot.version:
            return True
        actor = self.profiles.get(snapshot.profile_id)
        return actor is not None and actor.version > snapshot.version

    def _remember_unknown(self, path: bytes) -> None:
        while len(self._unknown) >= self._max_unknown:
            self._unknown.popitem(last=False)
        self._unknown[path] = self._epoch

    def _admit(self, snapshot: Snapshot) -> None:
        actor = self.profiles.get(snapshot.profile_id)
        if actor is None:
            actor = profile_actor(snapshot, *self._parts_of_actor)
            self.profiles[snapshot.profile_id] = actor
            self.counts["loaded"] += 1
            self._swap([], [*actor.add(snapshot.links), actor.page_route()])
        elif actor.version < snapshot.version and snapshot.complete:
            self._apply(actor, snapshot)
        elif actor.version <= snapshot.version:
            # Newer than the actor's other links: a message lets them catch up.
            self._swap([], actor.add(snapshot.links))
            self._send_version(actor, snapshot.version)
        self._count_resident(actor)
        if not snapshot.complete and snapshot.links:
            self.preloader.looked_up(actor, len(snapshot.links))

    # ---- links ahead of their visitors --------------------------------------------------------

    def _room(self, actor: ProfileActor) -> int:
        """Return how many links of the profile may be loaded ahead: its share, and nobody else's room."""
        share = self._max_links // PRELOADED_SHARE - actor.weight
        return min(share, self._enough_links - self._weight)

    def _admit_following(self, actor: ProfileActor, batch: LinkBatch) -> bool:
        """Add links to an actor of the same version. Returns False for any other, or one that is gone.

        A path that leads elsewhere stays: a short slug may have another owner since the links were read.
        """
        if self.profiles.get(actor.profile_id) is not actor:
            return False
        if not actor.version == actor.wanted == batch.version:
            return False
        for route in actor.add(batch.links):
            for path in route.paths:
                self.paths.setdefault(path, route)
                self._unknown.pop(path, None)
            self.links += 1
            self.counts["preloaded"] += 1
        self._count_resident(actor)
        return True

    # ---- changes ------------------------------------------------------------------------------

    def changed(self, changes: Iterable[ProfileChange] | None) -> None:
        """Take changes from an announcement or a poll; None: too many to list, so nothing is known to be
        current."""
        if changes is None:
            self._epoch += 1
            self._changed_versions = None
            self._drop(list(self.profiles.values()))
            return
        for change in changes:
            self._note_version(change)
            actor = self.profiles.get(change.profile_id)
            if actor is None:
                self._epoch += 1
            elif change.deleted:
                self._epoch += 1
                self._drop([actor])
            else:
                self._send_version(actor, change.version)
            self.counts["changes"] += 1

    def _note_version(self, change: ProfileChange) -> None:
        """Remember the version for the query that may be running."""
        if self._changed_versions is not None:
            known = self._changed_versions.get(change.profile_id, 0)
            self._changed_versions[change.profile_id] = max(change.version, known)
            if len(self._changed_versions) > MAX_CHANGES_DURING_QUERY:
                self._changed_versions = None

    def _send_version(self, actor: ProfileActor, version: int) -> None:
        if version > actor.wanted or (
            version > actor.version and not self.dispatcher.has_messages(actor)
        ):
            actor.wanted = max(version, actor.wanted)
            if not self.dispatcher.send(actor, version):
                self._drop([actor])

    async def _refresh(self, actor: ProfileActor, version: int) -> None:
        """Bring a resident actor up to `version`; for the actor's own message handler."""
        if self.profiles.get(actor.profile_id) is not actor:
            return
        try:
            snapshot = await self._source.refresh(
                actor.profile_id, actor.version, self.refresh_limit
            )
        except UnavailableError:
            # Visitors get the version in memory meanwhile. No poll repeats this change, so it is sent again.
            await trio.sleep(_RETRY_S)
            self.dispatcher.send(actor, version)
            return
        self._apply(actor, snapshot)

    def _apply(self, actor: ProfileActor, snapshot: Snapshot | None) -> None:
        """Let visitors get the snapshot of a refresh; None: the profile is gone."""
        if self.profiles.get(actor.profile_id) is not actor:
            return
        if snapshot is None:
            self._epoch += 1
            self._drop([actor])
            return
        if snapshot.version < actor.version:
            return
        partial = snapshot.since is None and not snapshot.complete
        if partial or snapshot.handle != actor.handle:
            self._epoch += 1  # links that it does not name have new paths
        self._forget_page(actor)
        if partial:
            self.preloader.forget(actor.profile_id)
        gone, new = actor.replace(snapshot)
        self.counts["refreshed"] += 1
        self._swap(gone, [*new, actor.page_route()])
        self._count_resident(actor)

    def _swap(self, gone: list[VisitRoute], new: list[VisitRoute]) -> None:
        for route in gone:
            self.links -= 1
            for path in route.paths:
                if self.paths.get(path) is route:
                    del self.paths[path]
        for route in new:
            for path in route.paths:
                self.paths[path] = route
                self._unknown.pop(path, None)
            self.links += route.status != 200

    # ---- passivation --------------------------------------------------------------------------

    def _drop(self, actors: list[ProfileActor]) -> None:
        for actor in actors:
            del self.profiles[actor.profile_id]
            self.preloader.forget(actor.profile_id)
            self._swap(list(actor.routes.values()), [])
            self._forget_page(actor)
            self._weight -= actor.weight
            actor.close()
            if actor.wanted > actor.version:
                self._epoch += 1  # no refresh will add its new links to the paths

    def _forget_page(self, actor: ProfileActor) -> None:
        """Remove the page's path, unless another profile has it by now."""
        route = self.paths.get(actor.page_path)
        if route is not None and route.actor is actor:
            del self.paths[actor.page_path]

    def _count_resident(self, actor: ProfileActor) -> None:
        weight = actor.resident_links()
        self._weight += weight - actor.weight
        actor.weight = weight

    async def sweep(self) -> None:
        """Keep resident links under their bound, for ever: second chance for visited profiles."""
        while True:
            await trio.sleep(_SWEEP_S)
            if self._weight <= self._max_links:
                continue
            while self._weight > self._enough_links:
                self._drop(self._idle())
                await trio.lowlevel.checkpoint()

    def _idle(self) -> list[ProfileActor]:
        """Choose profiles to passivate, of one step: oldest first, those not visited since the last sweep."""
        chosen: list[ProfileActor] = []
        excess = self._weight - self._enough_links
        for _ in range(min(_SWEEP_PROFILES, len(self.profiles))):
            profile_id = next(iter(self.profiles))
            actor = self.profiles[profile_id]
            self.profiles.move_to_end(profile_id)
            if actor.visited and len(self.profiles) > 1:
                actor.visited = False
                continue
            chosen.append(actor)
            excess -= actor.weight
            if excess <= 0:
                break
        self.counts["passivated"] += len(chosen)
        return chosen

    @property
    def waiting(self) -> int:
        """Visitors who wait for their path to be looked up."""
        return self._waiters

    @property
    def unknown_paths(self) -> int:
        return len(self._unknown)

    def samples(self) -> list[Sample]:
        counts = self.counts
        return [
            RESIDENT_PROFILES.sample(len(self.profiles)),
            RESIDENT_LINKS.sample(self.links),
            UNKNOWN_PATHS.sample(self.unknown_paths),
            PATH_QUERIES.sample(counts["queries"]),
            PATH_LOOKUPS.sample(counts["lookups"]),
            REFUSED_LOOKUPS.sample(counts["refused"]),
            LOADED_PROFILES.sample(counts["loaded"]),
            PRELOADED_LINKS.sample(counts["preloaded"]),
            REFRESHED_PROFILES.sample(counts["refreshed"]),
            PASSIVATED_PROFILES.sample(counts["passivated"]),
            CLICKS_WITHOUT_ID.sample(self.click_ids.missing),
        ]

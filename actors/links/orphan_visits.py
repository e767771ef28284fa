"""Visits to domains that led to no link: counted by path in an edge's memory, and stored every ten seconds."""

from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.links.orphan_visits import MAX_PATH_CHARS, OTHER, OrphanCount, OrphanVisitStore
from engine.operations.metrics import Metric, Sample

MAX_PATHS_OF_HOST: Final = 200
MAX_PATHS: Final = 10_000
STORE_S: Final = 10.0

UNLISTED_ORPHANS: Final = Metric(
    "waypost_orphan_visits_unlisted_total",
    "Visits to unknown paths of domains that are in no list, as an edge had too many paths to store",
)


class OrphanVisits:
    """The orphan visits of one edge that are not stored yet. Run `run` as a task."""

    def __init__(self) -> None:
        self.unlisted = 0
        self._counts: dict[bytes, dict[str, int]] = {}
        self._paths = 0

    def note(self, host: bytes, path: bytes) -> None:
        """Count a visit of a raw path at a domain. Paths beyond a bound count as OTHER."""
        text = path[:MAX_PATH_CHARS].decode("ascii", "replace")
        paths = self._counts.get(host)
        if paths is not None and text in paths:
            paths[text] += 1
            return
        if paths is not None and len(paths) >= MAX_PATHS_OF_HOST:
            text = OTHER
        if self._paths >= MAX_PATHS and (paths is None or text not in paths):
            self.unlisted += 1
            return
        paths = self._counts.setdefault(host, {})
        self._paths += text not in paths
        paths[text] = paths.get(text, 0) + 1

    async def run(self, store: OrphanVisitStore) -> None:
        """Store what was counted, for ever. What cannot be stored is tried again."""
        while True:
            await trio.sleep(STORE_S)
            if not self._counts:
                continue
            counts = [
                OrphanCount(host.decode("ascii", "replace"), path, visits)
                for host, paths in self._counts.items()
                for path, visits in paths.items()
            ]
            try:
                await store.add(counts)
            except UnavailableError:
                continue
            self._subtract(counts)

    def _subtract(self, counts: list[OrphanCount]) -> None:
        """Take off what is stored; visits were counted meanwhile."""
        for host, path, visits in counts:
            paths = self._counts[host.encode("ascii", "replace")]
            paths[path] -= visits
            if not paths[path]:
                del paths[path]
                self._paths -= 1
        self._counts = {host: paths for host, paths in self._counts.items() if paths}

    def samples(self) -> list[Sample]:
        return [UNLISTED_ORPHANS.sample(self.unlisted)]

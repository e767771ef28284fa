"""Stats versions of profiles in memory, by which a poll of stats without new counts is answered.

For a minute after each request of a profile, its version is read several times per second, with those of all
other requested profiles together; without requests, nothing is read. It is never newer than counts that are
read after it, so a response is never tagged with the version of later counts.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final

import trio

from engine.common.errors import WaypostError
from engine.operations.metrics import Metric, Sample
from engine.stats.ports import ProfileKey

POLL_S: Final = (
    0.25  # for FEW_PROFILES; more profiles are read less often, at most MAX_PROFILES each second
)
FEW_PROFILES: Final = 250
MAX_PROFILES: Final = 1_000
GAP_S: Final = 0.05  # between two reads, if new profiles are requested meanwhile
IDLE_AFTER_S: Final = 60.0
MAX_AGE_S: Final = 2.0
WAIT_S: Final = 1.0

VERSION_READS: Final = Metric(
    "waypost_stats_version_reads_total", "Reads of the stats versions of profiles from Postgres"
)
VERSION_FAILURES: Final = Metric(
    "waypost_stats_version_failures_total", "Reads of the stats versions that failed"
)
VERSIONS_EVICTED: Final = Metric(
    "waypost_stats_versions_evicted_total",
    "Profiles whose stats version is no longer read as too many others were requested",
)


class _Version:
    """The version of a profile, when its read began, and when it was last requested."""

    __slots__ = ("read_at", "requested_at", "value")

    def __init__(self) -> None:
        self.value = ""
        self.read_at = self.requested_at = -inf


class StatsVersionCache:
    """A cache of stats versions. `read` returns the versions of profiles. Run it under a supervisor."""

    def __init__(
        self, read: Callable[[Sequence[ProfileKey]], Awaitable[dict[ProfileKey, str]]]
    ) -> None:
        self._read = read
        self._versions: OrderedDict[ProfileKey, _Version] = OrderedDict()  # by their last request
        self._requested = trio.Event()
        self._were_read = trio.Event()
        self.reads = 0
        self.failures = 0
        self.evicted = 0

    async def current(self, profiles: Sequence[ProfileKey]) -> str | None:
        """Return the version of profiles together, read at most MAX_AGE_S ago; None if not within WAIT_S."""
        now = trio.current_time()
        versions = [self._request(profile, now) for profile in profiles]
        with trio.move_on_after(WAIT_S):
            while any(version.read_at < now - MAX_AGE_S for version in versions):
                await self._were_read.wait()
            return " ".join(version.value for version in versions)
        return None

    def _request(self, profile: ProfileKey, now: float) -> _Version:
        version = self._versions.get(profile)
        if version is None:
            version = self._versions[profile] = _Version()
            if len(self._versions) > MAX_PROFILES:
                self._versions.popitem(last=False)
                self.evicted += 1
            self._requested.set()
        version.requested_at = now
        self._versions.move_to_end(profile)
        return version

    async def run(self) -> None:
        while True:
            self._forget_idle()
            if not self._versions:
                self._requested = trio.Event()
                await self._requested.wait()
            self._requested = trio.Event()
            await self._read_due()
            await trio.sleep(GAP_S)
            with trio.move_on_after(self._poll_s() - GAP_S):
                await self._requested.wait()

    def _poll_s(self) -> float:
        return POLL_S * max(1.0, len(self._versions) / FEW_PROFILES)

    def _forget_idle(self) -> None:
        idle_since = trio.current_time() - IDLE_AFTER_S
        while self._versions:
            profile, version = next(iter(self._versions.items()))
            if version.requested_at > idle_since:
                break
            del self._versions[profile]

    async def _read_due(self) -> None:
        """Read the versions that were not read for a poll's time."""
        started = trio.current_time()
        before = started - self._poll_s() + GAP_S
        due = {
            profile: version
            for profile, version in self._versions.items()
            if version.read_at <= before
        }
        try:
            values = await self._read(list(due))
        except WaypostError:
            self.failures += 1
            return
        self.reads += 1
        for profile, version in due.items():
            version.value = values.get(profile, "")
            version.read_at = started
        self._were_read.set()
        self._were_read = trio.Event()

    def samples(self) -> list[Sample]:
        return [
            VERSION_READS.sample(self.reads),
            VERSION_FAILURES.sample(self.failures),
            VERSIONS_EVICTED.sample(self.evicted),
        ]

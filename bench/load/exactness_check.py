"""Whether every click was counted, and once: what the engine answered against what its stats say."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.load.engine_process import EngineProcess


class EngineCounts(NamedTuple):
    """What the engine says of itself, when all is committed."""

    redirects: int
    clicks: int
    unrecorded: int
    edges: tuple[int, ...]


class ExactnessCheck(NamedTuple):
    """One run of ours, counted three ways."""

    completed: int
    before: EngineCounts
    after: EngineCounts
    errors: dict[str, int]
    connections: int
    seconds_to_commit: float

    @property
    def answered(self) -> int:
        return self.after.redirects - self.before.redirects

    @property
    def recorded(self) -> int:
        return self.after.clicks - self.before.clicks

    def failures(self) -> list[str]:
        found = []
        if self.errors:
            found.append(f"requests failed: {self.errors}")
        if self.recorded != self.answered:
            found.append(f"{self.answered} redirects but {self.recorded} clicks")
        if not 0 <= self.answered - self.completed <= self.connections:
            found.append(f"{self.answered} redirects for {self.completed} that wrk completed")
        if self.after.unrecorded != self.before.unrecorded:
            found.append(f"{self.after.unrecorded - self.before.unrecorded} clicks unrecorded")
        if self.after.edges != self.before.edges:
            found.append("the edge was restarted")
        return found


def counted(engine: EngineProcess, profile_ids: Sequence[str]) -> EngineCounts:
    """To be called when all is committed: see `EngineProcess.wait_committed`."""
    metrics = engine.metrics()
    return EngineCounts(
        redirects=int(metrics["waypost_redirects_total"]),
        clicks=engine.clicks(profile_ids),
        unrecorded=int(metrics["waypost_clicks_unrecorded_total"]),
        edges=tuple(engine.pids("edge")),
    )

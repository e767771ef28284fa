"""Check that every click was counted once: the engine's redirects against the clicks in its stats."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.load.engine_process import EngineProcess


class EngineCounts(NamedTuple):
    """Counts that the engine reports when all clicks are committed."""

    redirects: int
    clicks: int
    unrecorded: int
    edges: tuple[int, ...]


class ExactnessCheck(NamedTuple):
    """Run of wrk on the engine, counted by wrk, by the engine's metrics and by its stats."""

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
        texts = []
        if self.errors:
            texts.append(f"requests failed: {self.errors}")
        if self.recorded != self.answered:
            texts.append(f"{self.answered} redirects but {self.recorded} clicks")
        if not 0 <= self.answered - self.completed <= self.connections:
            texts.append(f"{self.answered} redirects for {self.completed} completed by wrk")
        if self.after.unrecorded != self.before.unrecorded:
            texts.append(f"{self.after.unrecorded - self.before.unrecorded} clicks unrecorded")
        if self.after.edges != self.before.edges:
            texts.append("the edge was restarted")
        return texts


def read_counts(engine: EngineProcess, profile_ids: Sequence[str]) -> EngineCounts:
    """Read the counts. Call it when all clicks are committed: see EngineProcess.wait_committed()."""
    metrics = engine.metrics()
    return EngineCounts(
        redirects=int(metrics["waypost_redirects_total"]),
        clicks=engine.clicks(profile_ids),
        unrecorded=int(metrics["waypost_clicks_unrecorded_total"]),
        edges=tuple(engine.pids("edge")),
    )

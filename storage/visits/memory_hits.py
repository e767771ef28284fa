"""The in-memory twin of the edges that take servers' hits."""

from collections.abc import Sequence

import trio

from engine.common.errors import UnavailableError
from engine.visits.hit import HitOutcome, ServerHit


class MemoryHits:
    """`HitSender` in memory. While `away`, nothing is recorded; paths in `unknown` lead nowhere."""

    def __init__(self) -> None:
        self.recorded: dict[bytes, ServerHit] = {}
        self.unknown: set[bytes] = set()
        self.away = False

    async def send(self, profile_id: int, hits: Sequence[ServerHit]) -> list[HitOutcome]:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnavailableError("no edge takes hits")
        outcomes: list[HitOutcome] = []
        for hit in hits:
            if hit.id in self.recorded:
                outcomes.append("duplicate")
            elif hit.path in self.unknown:
                outcomes.append("unknown")
            else:
                self.recorded[hit.id] = hit
                outcomes.append("recorded")
        return outcomes

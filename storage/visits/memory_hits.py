"""The in-memory twin of the edges that take servers' hits."""

from collections.abc import Sequence

import trio

from engine.common.errors import UnavailableError
from engine.visits.hit import HitAnswer, HitOutcome, ServerHit
from engine.visits.page_variant import PageVariant


class MemoryHits:
    """`HitSender` in memory. While `away`, nothing is recorded; paths in `unknown` lead nowhere. A hit with
    `experiments` gets `variants` and `target`."""

    def __init__(self) -> None:
        self.recorded: dict[bytes, ServerHit] = {}
        self.unknown: set[bytes] = set()
        self.away = False
        self.variants: tuple[PageVariant, ...] = ()
        self.target: str | None = None

    async def send(self, profile_id: int, hits: Sequence[ServerHit]) -> list[HitAnswer]:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnavailableError("no edge takes hits")
        return [self._answer(hit) for hit in hits]

    def _answer(self, hit: ServerHit) -> HitAnswer:
        outcome: HitOutcome = "recorded"
        if hit.id in self.recorded:
            outcome = "duplicate"
        elif hit.path in self.unknown:
            return HitAnswer("unknown")
        self.recorded.setdefault(hit.id, hit)
        if not hit.experiments:
            return HitAnswer(outcome)
        return HitAnswer(outcome, self.variants, self.target)

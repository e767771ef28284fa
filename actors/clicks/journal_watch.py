"""Journals that stand still, or whose counts Postgres had lost, as /readyz, its log and the metrics name them.

A journal stands still when clicks of it wait and neither watermark has moved for STALL_S, whatever the reason:
no aggregator, a lease that nobody gives up, a server that is away. Silence would be read as health.
"""

from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

import trio

from actors.clicks.shipper import Shipper
from engine.operations.health import Component
from engine.operations.metrics import Metric, Sample
from engine.operations.progress import STALL_S

MAX_NAMED: Final = 3

STANDING_STILL: Final = Metric(
    "waypost_journals_standing_still",
    "Journals with clicks to count whose watermark has not moved for 10 s",
)
RECOVERING: Final = Metric(
    "waypost_journals_recovering",
    "Journals whose clicks are counted again, as Postgres had lost their counts",
)


class ShippedJournal(NamedTuple):
    """A journal as its shipper knows it. `still_s`: since when its watermark has not moved; `recover_to`: the
    sequence that Postgres had counted before it went back, 0 if it did not or has reached it again."""

    id: UUID
    pending: int
    watermark: int
    still_s: float
    recover_to: int
    error: str

    @property
    def stands_still(self) -> bool:
        return self.pending > 0 and self.still_s > STALL_S

    def reason(self) -> str:
        """Return one line for the operator, empty if all is well."""
        texts = []
        if self.recover_to:
            texts.append(
                f"Postgres lost commits: it went back from click {self.recover_to}, "
                f"and has counted up to {self.watermark} again"
            )
        if self.stands_still:
            texts.append(
                f"{self.pending} clicks wait, and the watermark has stood at {self.watermark} "
                f"for {self.still_s:.0f} s{self.error and f' ({self.error})'}"
            )
        return f"journal {self.id.hex}: {'; '.join(texts)}" if texts else ""


def shipped_journal(shipper: Shipper, pending: int) -> ShippedJournal:
    """Return the state of the shipper's journal with so many clicks that are not counted."""
    return ShippedJournal(
        shipper.source.id,
        pending,
        shipper.watermark,
        0.0 if shipper.moved_at is None else trio.current_time() - shipper.moved_at,
        shipper.recover_to if shipper.is_recovering else 0,
        shipper.last_error,
    )


class JournalWatch:
    """The journals that one edge ships. `states` returns one state for each."""

    def __init__(self, states: Callable[[], list[ShippedJournal]]) -> None:
        self._states = states

    def component(self, name: str) -> Component:
        """Return whether all journals are counted as they should be, with up to MAX_NAMED reasons."""
        reasons = [reason for state in self._states() if (reason := state.reason())]
        named = reasons[:MAX_NAMED]
        if len(reasons) > MAX_NAMED:
            named.append(f"and {len(reasons) - MAX_NAMED} journals more")
        return Component(name, not reasons, "; ".join(named))

    def samples(self) -> list[Sample]:
        states = self._states()
        return [
            STANDING_STILL.sample(sum(state.stands_still for state in states)),
            RECOVERING.sample(sum(bool(state.recover_to) for state in states)),
        ]

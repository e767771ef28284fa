"""The aggregator: Redis streams → Postgres, each click once; actors/stats/dimension_counter.py follows it.

It leases journals and folds each from its watermark on: the position lives next to the counts, and moves in
the same transaction. Whoever commits must still hold the lease's token and the very position it read, so two
aggregators can work on one stream by mistake and only one of them gets its commit.

A gap in a stream, if it is one, is waited out: the shipper finds it and ships again. A batch that cannot be
folded is set aside whole with its reason, and the stream goes on. No stream's trouble stops another one.

Each round takes a few streams more than are held, as long as there are free ones: several aggregators share
them, and however many there are, none is left to nobody.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

import trio

from actors.stats.dimension_counter import DimensionCounter
from engine.clicks.batch import Batch
from engine.clicks.ports import ClickStream
from engine.clicks.record_layout import FormatError
from engine.common.errors import StaleLeaseError, UnavailableError, WaypostError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.stats.ledger_ports import BufferedClicks, ClickLedger, JournalLease

logger = logging.getLogger("waypost.aggregator")

# With batches of a backlog, 2 MB: a transaction of some ten thousand clicks. Four times as much folds no
# faster, and costs four times the memory.
MAX_BATCHES: Final = 8
MAX_STREAMS: Final = 512
STREAMS_A_ROUND: Final = 8
READ_WAIT_MS: Final = 500
GAP_WAIT_S: Final = 0.1
MAX_TRIES: Final = 3
RELEASE_LIMIT_S: Final = 2.0

FOLDED_CLICKS: Final = Metric(
    "waypost_folded_clicks_total", "Clicks and views added to raw rows and rollups"
)
FOLDS: Final = Metric(
    "waypost_folds_total", "Transactions that added clicks to raw rows and rollups"
)
FOLD_GAPS: Final = Metric(
    "waypost_fold_gaps_total",
    "Reads of a stream whose next batch did not continue its journal's watermark",
)
STALE_LEASES: Final = Metric(
    "waypost_stale_leases_total", "Commits refused, as another worker held the journal's lease"
)
DEAD_LETTERS: Final = Metric(
    "waypost_batches_dead_lettered_total",
    "Batches that could not be folded and are kept with the reason",
)


class Aggregator:
    def __init__(
        self,
        owner: str,
        stream: ClickStream,
        ledger: ClickLedger,
        *,
        lease_ttl_s: float,
        gather: Callable[[], BufferedClicks],
        committed: Callable[[int, Sequence[Batch]], None] = lambda *_: None,
    ) -> None:
        """`committed` is told of each commit: from which position on, and of what. It must not wait."""
        self._committed = committed
        self.summariser = DimensionCounter(ledger, gather)
        self.owner = owner
        self._stream = stream
        self._ledger = ledger
        self._lease_ttl_s = lease_ttl_s
        self._positions: dict[UUID, JournalLease] = {}
        self._folding: dict[UUID, trio.CancelScope] = {}
        self._held = 0
        self.folded = 0
        self.commits = 0
        self.gaps = 0
        self.stale = 0
        self.dead_lettered = 0
        self.last_error = ""

    async def run(self) -> None:
        """Lease, and fold what is leased, until cancelled; then give the leases back.

        What an earlier life of this owner still holds is given back first, so that it is taken under a
        new token and whoever had the old one commits nothing more.
        """
        await self._release()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.summariser.run)
                while True:
                    await self._lease(nursery)
                    await trio.sleep(min(1.0, self._lease_ttl_s / 4))
        finally:
            with trio.CancelScope(shield=True):
                await self._release()

    async def _release(self) -> None:
        with trio.move_on_after(RELEASE_LIMIT_S), suppress(WaypostError):  # else they expire
            await self._ledger.release(self.owner)

    async def _lease(self, nursery: trio.Nursery) -> None:
        limit = min(MAX_STREAMS, self._held + STREAMS_A_ROUND)
        try:
            positions = await self._ledger.lease(self.owner, limit, self._lease_ttl_s)
        except UnavailableError as error:
            self.last_error = str(error)
            return
        self._held = len(positions)
        leased = {position.journal_id: position for position in positions}
        for journal_id, scope in list(self._folding.items()):
            if journal_id not in leased:
                scope.cancel()
        for journal_id, position in leased.items():
            if journal_id not in self._folding:
                scope = trio.CancelScope()
                self._folding[journal_id] = scope
                nursery.start_soon(self._fold, position, scope, name=f"fold-{journal_id.hex[:8]}")

    async def _fold(self, position: JournalLease, scope: trio.CancelScope) -> None:
        failures = 0
        self.summariser.journal_leased(position)
        try:
            with scope:
                while True:
                    try:
                        position = await self._fold_once(position)
                        failures = 0
                    except StaleLeaseError:
                        raise
                    except Exception as error:
                        failures += 1
                        self._report(position, error)
                        await trio.sleep(backoff_s(failures, first_s=0.05, limit_s=1.0))
        except StaleLeaseError as error:
            # Somebody else owns the stream; the next lease tells who goes on.
            self.stale += 1
            self.last_error = str(error)
        finally:
            self.summariser.journal_lost(position.journal_id)
            del self._folding[position.journal_id]

    def _report(self, position: JournalLease, error: Exception) -> None:
        self.last_error = str(error)
        if not isinstance(error, UnavailableError):
            logger.error(
                "journal %s cannot be folded: %r", position.journal_id.hex, error,
                extra={"event": "fold_failed", "journal": position.journal_id.hex},
            )  # fmt: skip

    async def _fold_once(self, position: JournalLease) -> JournalLease:
        journal_id = position.journal_id
        # The counts by dimension may be further back, after a crash.
        done = min(position.folded, self.summariser.buffered_until(journal_id))
        batches = await self._stream.read(journal_id, done, MAX_BATCHES, READ_WAIT_MS)
        ready = contiguous_batches(batches, done)
        if not ready:
            if batches:
                self.gaps += 1
                await trio.sleep(GAP_WAIT_S)
                await self._verify_lost_commit(journal_id, done)
            return position
        behind = [batch for batch in ready if batch.last <= position.folded]
        await self.summariser.buffer(journal_id, behind)
        ahead = ready[len(behind) :]
        if not ahead:
            return position
        try:
            after = await self._commit(position, ahead)
        except (UnavailableError, StaleLeaseError):
            raise
        except Exception as error:
            after = await self._fold_one_by_one(position, ahead, error)
        return after

    async def _verify_lost_commit(self, journal_id: UUID, done: int) -> None:
        """A commit whose answer was lost may have happened, and what it took been trimmed since: then the
        gap is only here. Raises StaleLeaseError, as the lease tells where to go on."""
        committed, _ = await self._ledger.watermarks(journal_id)
        if committed > done:
            raise StaleLeaseError(f"journal {journal_id} is at click {committed}, not at {done}")

    async def _commit(self, position: JournalLease, batches: list[Batch]) -> JournalLease:
        after = await self._ledger.commit(position, batches)
        self.folded += after.folded - position.folded
        self.commits += 1
        self._committed(position.folded, batches)
        await self.summariser.buffer(position.journal_id, batches)
        return after

    async def _fold_one_by_one(
        self, position: JournalLease, batches: list[Batch], error: Exception
    ) -> JournalLease:
        """One of them cannot be folded: find out which, keep it aside, and go on."""
        logger.warning("a fold failed and is tried batch by batch: %s", error)
        for batch in batches:
            for attempt in range(1, MAX_TRIES + 1):
                try:
                    position = await self._commit(position, [batch])
                    break
                except (UnavailableError, StaleLeaseError):
                    raise
                except Exception as refused:
                    if attempt < MAX_TRIES and not isinstance(refused, FormatError):
                        await trio.sleep(backoff_s(attempt, first_s=0.1, limit_s=1.0))
                        continue
                    reason = f"{type(refused).__name__}: {refused}"[:1000]
                    # Both positions move past it, so what is before it comes first.
                    await self.summariser.wait_committed(position.journal_id)
                    position = await self._ledger.dead_letter(position, batch, reason)
                    self.summariser.skip_to(position.journal_id, position.folded)
                    self.dead_lettered += 1
                    logger.error(
                        "batch %d-%d of journal %s was set aside: %s",
                        batch.first, batch.last, position.journal_id.hex, reason,
                        extra={"event": "batch_set_aside", "journal": position.journal_id.hex},
                    )  # fmt: skip
                    break
        return position

    @property
    def streams(self) -> int:
        """Streams whose lease it holds."""
        return len(self._folding)

    def samples(self) -> list[Sample]:
        """Return its own samples and those of its dimension counter."""
        return [
            FOLDED_CLICKS.sample(self.folded),
            FOLDS.sample(self.commits),
            FOLD_GAPS.sample(self.gaps),
            STALE_LEASES.sample(self.stale),
            DEAD_LETTERS.sample(self.dead_lettered),
            *self.summariser.samples(),
        ]


def contiguous_batches(batches: list[Batch], sequence: int) -> list[Batch]:
    """The batches that continue `sequence` without a gap; those at or below it are left out."""
    ready: list[Batch] = []
    for batch in batches:
        if batch.last <= sequence:
            continue
        if batch.first > sequence + 1:
            break
        ready.append(batch)
        sequence = batch.last
    return ready

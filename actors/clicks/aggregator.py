"""The aggregator: folds Redis streams into Postgres, each click once.

It leases journals and folds each from its watermark on, which is stored next to the counts and moves in the
same transaction. A commit must still hold the lease's fencing token and the very watermark that it read, so two
aggregators can work on one stream by mistake and only one of them gets its commit.

A journal that another aggregator is to fold is handed over between two commits: reading ends at once, a commit
under way is awaited, and the next renewal releases the lease.

A gap in a stream, if it is one, is waited out: the shipper finds it and ships again. A batch that cannot be
folded is dead-lettered whole with its reason, and the stream goes on. No stream's trouble stops another one.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import trio

from actors.clicks.journal_leases import JournalLeases
from engine.clicks.batch import Batch
from engine.clicks.ports import ClickStream
from engine.clicks.record_layout import FormatError
from engine.common.errors import StaleLeaseError, UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample
from engine.operations.progress import Progress
from engine.stats.ledger_ports import ClickLedger, JournalLease

logger = logging.getLogger("waypost.aggregator")

# With batches of a backlog, 2 MB: a transaction of some ten thousand clicks. Four times as much folds no
# faster, and costs four times the memory.
MAX_BATCHES: Final = 8
READ_WAIT_MS: Final = 500
GAP_WAIT_S: Final = 0.1
MAX_TRIES: Final = 3

FOLDED_CLICKS: Final = Metric(
    "waypost_folded_clicks_total", "Clicks and views counted, in raw rows and deltas"
)
FOLDS: Final = Metric("waypost_folds_total", "Transactions that counted clicks")
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
        on_fold: Callable[[int, Sequence[Batch]], None] = lambda *_: None,
    ) -> None:
        """`on_fold` is called after each commit with the watermark before it and the batches folded; it must
        not wait."""
        self._on_fold = on_fold
        self.owner = owner
        self._stream = stream
        self._ledger = ledger
        self._leases = JournalLeases(owner, ledger, lease_ttl_s)
        self._folding: dict[UUID, _Folding] = {}
        self._progress: dict[UUID, Progress] = {}
        self._leasing = Progress()
        self.folded = 0
        self.commits = 0
        self.gaps = 0
        self.stale = 0
        self.dead_lettered = 0
        self.last_error = ""

    async def run(self) -> None:
        """Lease journals and fold what is leased, until cancelled."""
        self._leasing.moved(trio.current_time())
        async with self._leases, trio.open_nursery() as nursery:
            while True:
                await self._lease(nursery)
                await self._leases.wait()

    async def _lease(self, nursery: trio.Nursery) -> None:
        """Renew the leases; stop folding journals that were lost, start folding those acquired.

        A journal whose lease is older than what was committed here is one that Postgres took back: reading on
        above a watermark that it does not know would wait for ever.
        """
        known = {id_: folding.lease for id_, folding in self._folding.items()}
        ended = [folding.id for folding in self._folding.values() if folding.has_ended]
        try:
            leases = await self._leases.renew(ended)
        except UnavailableError as error:
            self.last_error = str(error)
            return
        self._leasing.moved(trio.current_time())
        for journal_id in ended:
            del self._folding[journal_id]
        for journal_id, folding in list(self._folding.items()):
            if journal_id not in leases:
                folding.scope.cancel()
            elif journal_id in known and self._went_back(known[journal_id], leases[journal_id]):
                logger.warning(
                    "journal %s went back in Postgres from %s to %s and is folded again from there",
                    journal_id.hex, known[journal_id], leases[journal_id],
                    extra={"event": "lease_went_back", "journal": journal_id.hex},
                )  # fmt: skip
                folding.scope.cancel()
        for journal_id, lease in leases.items():
            if journal_id not in self._folding:
                folding = self._folding[journal_id] = _Folding(lease)
                nursery.start_soon(self._fold, folding, name=f"fold-{journal_id.hex[:8]}")
        self._hand_over(self._leases.surplus)

    def _hand_over(self, surplus: int) -> None:
        """End the folds of `surplus` journals, busy and quiet ones alike: every second one by their clicks."""
        surplus -= sum(folding.is_ending for folding in self._folding.values())
        by_clicks = sorted(
            (folding for folding in self._folding.values() if not folding.is_ending),
            key=lambda folding: -folding.clicks,
        )
        for folding in [*by_clicks[1::2], *by_clicks[::2]][: max(0, surplus)]:
            folding.end()

    def _went_back(self, known: JournalLease, renewed: JournalLease) -> bool:
        """Return whether Postgres has another lease, or less of the journal, than when `known` was read."""
        return renewed.fencing_token != known.fencing_token or renewed.folded < known.folded

    async def _fold(self, journal: "_Folding") -> None:
        """Fold one journal until its lease is lost, its scope is cancelled, or it is to be handed over."""
        failures = 0
        progress = self._progress[journal.id] = Progress()
        progress.moved(trio.current_time())
        try:
            with journal.scope:
                while not journal.is_ending:
                    try:
                        if await self._fold_once(journal):
                            progress.moved(trio.current_time())
                        failures = 0
                    except StaleLeaseError:
                        raise
                    except Exception as error:
                        failures += 1
                        self._report(journal, error)
                        await trio.sleep(backoff_s(failures, first_s=0.05, limit_s=1.0))
                journal.has_ended = True
        except StaleLeaseError as error:
            # Another aggregator leases the stream; the next renewal says whether it is this one's again.
            self.stale += 1
            self.last_error = str(error)
        finally:
            del self._progress[journal.id]
            if not journal.has_ended:
                del self._folding[journal.id]

    def _report(self, journal: "_Folding", error: Exception) -> None:
        self.last_error = str(error)
        if not isinstance(error, UnavailableError):
            logger.error(
                "journal %s cannot be folded: %r", journal.id.hex, error,
                extra={"event": "fold_failed", "journal": journal.id.hex},
            )  # fmt: skip

    async def _fold_once(self, journal: "_Folding") -> bool:
        """Read the stream once, and fold what continues the journal. Returns False at a gap."""
        sequence = journal.lease.folded
        batches: list[Batch] = []
        with journal.reading():
            batches = await self._stream.read(journal.id, sequence, MAX_BATCHES, READ_WAIT_MS)
        ready = contiguous_batches(batches, sequence)
        if not ready:
            if batches:
                self.gaps += 1
                await trio.sleep(GAP_WAIT_S)
                await self._verify_lost_commit(journal.id, sequence)
            return not batches
        try:
            await self._commit(journal, ready)
        except (UnavailableError, StaleLeaseError):
            raise
        except Exception as error:
            await self._fold_one_by_one(journal, ready, error)
        return True

    async def _commit(self, journal: "_Folding", batches: Sequence[Batch]) -> None:
        before = journal.lease
        journal.lease = await self._ledger.commit(before, batches)
        self.folded += journal.lease.folded - before.folded
        journal.clicks += journal.lease.folded - before.folded
        self.commits += 1
        self._on_fold(before.folded, batches)

    async def _verify_lost_commit(self, journal_id: UUID, sequence: int) -> None:
        """A commit whose answer was lost may have happened, and its batches been trimmed since: then the
        gap is only here. Raises StaleLeaseError, as a new lease says where to go on."""
        watermark = await self._ledger.watermark(journal_id)
        if watermark is None or watermark > sequence:
            raise StaleLeaseError(f"journal {journal_id} is at {watermark}, not at {sequence}")

    async def _fold_one_by_one(
        self, journal: "_Folding", batches: list[Batch], error: Exception
    ) -> None:
        """Fold batches one at a time, and dead-letter those that cannot be folded."""
        logger.warning("a fold failed and is tried batch by batch: %s", error)
        for batch in batches:
            for attempt in range(1, MAX_TRIES + 1):
                try:
                    await self._commit(journal, [batch])
                    break
                except (UnavailableError, StaleLeaseError):
                    raise
                except Exception as refused:
                    if attempt < MAX_TRIES and not isinstance(refused, FormatError):
                        await trio.sleep(backoff_s(attempt, first_s=0.1, limit_s=1.0))
                        continue
                    await self._dead_letter(journal, batch, refused)
                    break

    async def _dead_letter(self, journal: "_Folding", batch: Batch, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"[:1000]
        if not batch.payload:
            # Clicks that cannot be read any more; those that are counted already are not lost.
            batch = batch._replace(first=max(batch.first, journal.lease.folded + 1))
        journal.lease = await self._ledger.dead_letter(journal.lease, batch, reason)
        self.dead_lettered += 1
        logger.error(
            "batch %d-%d of journal %s was dead-lettered: %s",
            batch.first, batch.last, journal.id.hex, reason,
            extra={"event": "batch_dead_lettered", "journal": journal.id.hex},
        )  # fmt: skip

    @property
    def streams(self) -> int:
        """Return the number of streams whose lease it holds."""
        return len(self._folding)

    def stalls(self) -> list[str]:
        """Return a line for the leases and one for the journals, if they have stood still."""
        now = trio.current_time()
        slowest, still = Progress(), 0
        for progress in self._progress.values():
            still += progress.stalled_s(now) > 0
            slowest = max(slowest, progress, key=lambda p: p.stalled_s(now))
        journals = f"{still} of {len(self._progress)} journals"
        return [
            self._leasing.stall(now, "leases of journals", self.last_error),
            slowest.stall(now, journals, self.last_error),
        ]

    def samples(self) -> list[Sample]:
        return [
            FOLDED_CLICKS.sample(self.folded),
            FOLDS.sample(self.commits),
            FOLD_GAPS.sample(self.gaps),
            STALE_LEASES.sample(self.stale),
            DEAD_LETTERS.sample(self.dead_lettered),
        ]


class _Folding:
    """A journal that is being folded, under its lease as of the last commit."""

    def __init__(self, lease: JournalLease) -> None:
        self.scope = trio.CancelScope()
        self.lease = lease
        self.clicks = 0
        # It is to be handed over; its last commit is done, and the next renewal releases it.
        self.is_ending = self.has_ended = False
        self._reading = trio.CancelScope()

    def reading(self) -> trio.CancelScope:
        """Return a scope for a read of the stream, which `end` cancels."""
        self._reading = trio.CancelScope()
        return self._reading

    def end(self) -> None:
        """End the fold after the commit under way, if there is one."""
        self.is_ending = True
        self._reading.cancel()

    @property
    def id(self) -> UUID:
        return self.lease.journal_id


def contiguous_batches(batches: list[Batch], sequence: int) -> list[Batch]:
    """Return the batches that continue `sequence` without a gap; those at or below it are left out."""
    ready: list[Batch] = []
    for batch in batches:
        if batch.last <= sequence:
            continue
        if batch.first > sequence + 1:
            break
        ready.append(batch)
        sequence = batch.last
    return ready

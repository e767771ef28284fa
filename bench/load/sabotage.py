"""Engines that are broken on purpose, to prove that chaos would notice: `python -m bench chaos --sabotage NAME`.

    watermark   the watermark is committed in a transaction of its own, before the counts: an aggregator
                that is killed between the two loses a batch
    forget      the journal takes what Redis has for what Postgres has: its segments are deleted when
                they are shipped, and a dead edge's journal is deleted once it has been shipped once
    counts      the counts are committed in a transaction of their own, before the watermark: an aggregator
                that is killed between the two counts a batch twice

    dimensions  a journal's `dimension_counted` is committed before the dimension counts: an aggregator that is
                killed between the two leaves clicks out of them

The engine itself has no switch for this. `python -m bench.load.sabotage NAME up …` runs the engine's command
line with a part of it replaced, and starts its processes in the same way:

    python -m bench.load.sabotage NAME process …
"""  # noqa: E501

import importlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import trio

from actors.clicks import shipper
from actors.operations import launcher
from engine.clicks.batch import Batch
from engine.stats.ledger_ports import BufferedClicks, JournalLease, WatermarkAdvance
from storage.clicks import ledger
from storage.clicks.ledger import PostgresClickLedger
from storage.stats import dimension_counts

# Between the two transactions, so that a kill falls into it now and then.
GAP_S: Final = 0.2


def _two_transactions(*, counts_first: bool) -> None:
    original = PostgresClickLedger.commit
    fence = ledger._advance

    async def nothing(*_: Any) -> None:
        return None

    async def commit(
        self: PostgresClickLedger, lease: JournalLease, batches: Sequence[Batch]
    ) -> JournalLease:
        if not batches:
            return lease
        moved_lease = lease._replace(folded=batches[-1].last)

        async def move() -> None:
            await self._database.transaction(
                lambda connection: fence(connection, lease, moved_lease)
            )

        async def count() -> None:
            await original(self, lease, batches)

        for step in (count, move) if counts_first else (move, count):
            await step()
            await trio.sleep(GAP_S)
        return moved_lease

    setattr(ledger, "_advance", nothing)  # noqa: B010
    setattr(PostgresClickLedger, "commit", commit)  # noqa: B010


def _watermark() -> None:
    _two_transactions(counts_first=False)


def _counts() -> None:
    _two_transactions(counts_first=True)


def _dimensions() -> None:
    original = dimension_counts.advance_watermarks

    async def nothing(*_: Any) -> None:
        return None

    async def commit_dimension_counts(
        self: PostgresClickLedger, advances: Sequence[WatermarkAdvance], buffer: BufferedClicks
    ) -> None:
        await self._database.transaction(lambda connection: original(connection, advances))
        await trio.sleep(GAP_S)
        await whole(self, advances, buffer)

    whole = PostgresClickLedger.commit_dimension_counts
    setattr(dimension_counts, "advance_watermarks", nothing)  # noqa: B010
    setattr(PostgresClickLedger, "commit_dimension_counts", commit_dimension_counts)  # noqa: B010


def _forget() -> None:
    original = shipper.Shipper.follow_watermark

    async def follow(self: shipper.Shipper) -> bool:
        moved = await original(self)
        known = self.committed
        self.committed = max(known, self.shipped)
        return moved or self.committed > known

    setattr(shipper.Shipper, "follow_watermark", follow)  # noqa: B010


SABOTAGES: Final[dict[str, Callable[[], None]]] = {
    "watermark": _watermark,
    "forget": _forget,
    "counts": _counts,
    "dimensions": _dimensions,
}


def pass_on(name: str) -> None:
    """Let the processes that the parent starts be broken in the same way."""
    original: Callable[..., Awaitable[int]] = launcher.Launcher._run_once

    async def run_once(self: launcher.Launcher, process: launcher.ChildProcess) -> int:
        arguments = list(process.command.arguments)
        if "api.command" in arguments:
            at = arguments.index("api.command")
            arguments[at : at + 1] = ["bench.load.sabotage", name]
            process.command = replace(process.command, arguments=arguments)
        return await original(self, process)

    setattr(launcher.Launcher, "_run_once", run_once)  # noqa: B010


def main(name: str) -> None:
    SABOTAGES[name]()
    pass_on(name)
    importlib.import_module("api.command.main").main()


if __name__ == "__main__":
    main(sys.argv.pop(1))

"""Engines that are broken on purpose, to prove that chaos notices: `python -m bench chaos --sabotage NAME`.

    watermark   commits the watermark in its own transaction before the counts: an aggregator killed between
                the two loses a batch
    forget      deletes journal segments once they are shipped to Redis, and a dead edge's journal once it has
                been shipped: clicks that are not in Postgres are lost with Redis
    counts      commits the counts in their own transaction before the watermark: an aggregator killed between
                the two counts a batch twice
    settling    settles deltas without deleting them: their clicks count twice
    highest     believes the highest watermarks that an edge has ever seen: what Postgres loses in a failover is never
                shipped again

The engine has no switch for this. `python -m bench.load.sabotage NAME up …` runs the engine's command line with a
part of it replaced, and starts the engine's processes with:

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
from engine.stats.ledger_ports import JournalLease
from engine.stats.packed.packed_clicks import decode
from storage.clicks import ledger
from storage.clicks.ledger import PostgresClickLedger
from storage.stats import settling
from storage.stats.deltas import Delta, add_deltas

# The pause between the two transactions is long enough for some kills to fall into it.
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


def _settling() -> None:
    original = settling.take_deltas

    async def kept(connection: Any, days: Any) -> Any:
        taken = await original(connection, days)
        again = [Delta(*day, decode(data).clicks, data) for day, data in taken]
        await add_deltas(connection, again)
        return taken

    setattr(settling, "take_deltas", kept)  # noqa: B010


def _forget() -> None:
    original = shipper.Shipper.follow_watermark

    async def follow(self: shipper.Shipper) -> bool:
        moved = await original(self)
        watermark = self.watermark
        self.watermark = max(watermark, self.shipped)
        return moved or self.watermark > watermark

    setattr(shipper.Shipper, "follow_watermark", follow)  # noqa: B010


def _highest() -> None:
    original = shipper.Shipper._note

    def note(self: shipper.Shipper, watermark: int) -> bool:
        return original(self, max(watermark, self.watermark))

    setattr(shipper.Shipper, "_note", note)  # noqa: B010


SABOTAGES: Final[dict[str, Callable[[], None]]] = {
    "watermark": _watermark,
    "forget": _forget,
    "counts": _counts,
    "settling": _settling,
    "highest": _highest,
}


def sabotage_children(name: str) -> None:
    """Start the launcher's processes through this module with the same sabotage."""
    original: Callable[..., Awaitable[int | None]] = launcher.Launcher._run_once

    async def run_once(self: launcher.Launcher, process: launcher.ChildProcess) -> int | None:
        arguments = list(process.command.arguments)
        if "api.command" in arguments:
            at = arguments.index("api.command")
            arguments[at : at + 1] = ["bench.load.sabotage", name]
            process.command = replace(process.command, arguments=arguments)
        return await original(self, process)

    setattr(launcher.Launcher, "_run_once", run_once)  # noqa: B010


def main(name: str) -> None:
    SABOTAGES[name]()
    sabotage_children(name)
    importlib.import_module("api.command.main").main()


if __name__ == "__main__":
    main(sys.argv.pop(1))

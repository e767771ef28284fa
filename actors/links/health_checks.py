"""Checks of links' targets, once a day each: the handler of the job `links.check`.

Polite: of all workers one does this at a time (the job is unique), a host is asked one thing at a time with a
pause after each, and no check takes longer than `CHECK_S`. A run takes what is due, does what fits into
`RUN_S`, and gives the rest back. Redirects to other hosts wait for their turn there like anything else.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import trio
from ada_url import URL

from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.links.health import CheckOutcome, CheckResult, DueCheck, TargetCheck, outcome_of
from engine.links.health_ports import START, LinkCursor, LinkHealthStore, Prober
from engine.operations.metrics import Metric, Sample

RUN_S: Final = 50.0
CHECK_S: Final = 10.0
PAUSE_S: Final = 1.0
WRITE_S: Final = 10.0
LOOK_S: Final = 0.2
CONCURRENCY: Final = 16
DUE_AT_ONCE: Final = 200
DISCOVERED_AT_ONCE: Final = 1000
DISCOVERIES: Final = 5

CHECKS: Final = Metric(
    "waypost_link_checks_total", "Checks of links' targets, by the state they found", ("state",)
)


class LinkChecks:
    """With `enabled` False nothing is checked."""

    def __init__(self, store: LinkHealthStore, prober: Prober, *, enabled: bool = True) -> None:
        self._store = store
        self._prober = prober
        self._enabled = enabled
        self._place: LinkCursor = START
        self.verdicts: dict[str, int] = {}

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "links.check",
                Every(MINUTE),
                "check each link's target once a day",
                Handler(run=self.run, time_limit_s=120),
            )
        ]

    async def run(self, context: JobContext) -> None:
        if not self._enabled:
            return
        await self._discover()
        with trio.move_on_after(RUN_S) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_stopping, context, scope)
                await self._work()
                nursery.cancel_scope.cancel()

    async def _work(self) -> None:
        hosts = HostLimiter()
        while True:
            checks, now = await self._store.claim(DUE_AT_ONCE)
            if not checks:
                return
            await self._check(checks, now, hosts)

    async def _discover(self) -> None:
        """Go on where the last run ended; each walk of all links begins anew."""
        for _ in range(DISCOVERIES):
            self._place = await self._store.discover(self._place, DISCOVERED_AT_ONCE)
            if self._place == START:
                return

    async def _check(self, checks: Sequence[DueCheck], now: datetime, hosts: "HostLimiter") -> None:
        """Check all of them; write down those that were, and give back those that there was no time for."""
        began, free = trio.current_time(), trio.CapacityLimiter(CONCURRENCY)
        done: list[CheckOutcome] = []

        async def one(check: DueCheck) -> None:
            verdict = await self._verdict(check.target, hosts, free)
            at = now + timedelta(seconds=trio.current_time() - began)
            self.verdicts[verdict.state] = self.verdicts.get(verdict.state, 0) + 1
            done.append(outcome_of(check, verdict, at))

        try:
            async with trio.open_nursery() as nursery:
                for check in checks:
                    nursery.start_soon(one, check)
        finally:
            with trio.move_on_after(WRITE_S, shield=True):
                await self._write(checks, done)

    async def _write(self, checks: Sequence[DueCheck], done: Sequence[CheckOutcome]) -> None:
        if done:
            await self._store.record(done)
        was_done = {(one.check.tenant_id, one.check.target) for one in done}
        left = [check for check in checks if (check.tenant_id, check.target) not in was_done]
        if left:
            await self._store.release(left)

    async def _verdict(
        self, target: str, hosts: "HostLimiter", free: trio.CapacityLimiter
    ) -> CheckResult:
        """`CHECK_S` are of the requests alone: waiting for one's turn is nobody's fault."""
        inquiry, left_s = TargetCheck(target), CHECK_S
        while inquiry.probe is not None:
            async with hosts.turn(inquiry.probe.url), free:
                began = trio.current_time()
                with trio.move_on_after(left_s) as limit:
                    inquiry.receive(await self._prober.send(inquiry.probe))
                left_s -= trio.current_time() - began
            if limit.cancelled_caught:
                return CheckResult(
                    "broken", None, f"no answer within {CHECK_S:g} s", transient=True
                )
        assert inquiry.result is not None
        return inquiry.result

    def samples(self) -> list[Sample]:
        return CHECKS.by_label(self.verdicts)


async def _until_stopping(context: JobContext, scope: trio.CancelScope) -> None:
    """A worker that is to stop need not wait for other people's servers."""
    while not context.stopping:  # noqa: ASYNC110  # it is told by a flag
        await trio.sleep(LOOK_S)
    scope.cancel()


class HostLimiter:
    """Whose turn it is at each host, in one run."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}
        self._free_at: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, url: str) -> AsyncIterator[None]:
        """Alone at the URL's host, and not before a pause has passed since the last one was."""
        host = URL(url).hostname
        async with self._locks.setdefault(host, trio.Lock()):
            await trio.sleep_until(self._free_at.get(host, 0.0))
            try:
                yield
            finally:
                self._free_at[host] = trio.current_time() + PAUSE_S

"""Checks of links' targets, once a day each: the handler of the job `links.check`.

Polite: one worker at a time runs the job (it is unique), a host gets one request at a time with a pause after
each, and no check takes longer than `CHECK_S`. A run claims due checks, does as many as fit into `RUN_S`, and
releases the rest. A redirect to another host waits for that host like any other request.
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
RECORD_S: Final = 10.0
POLL_S: Final = 0.2
CONCURRENCY: Final = 16
CLAIM_CHECKS: Final = 200
DISCOVER_LINKS: Final = 1000
DISCOVER_ROUNDS: Final = 5

CHECKS: Final = Metric(
    "waypost_link_checks_total", "Checks of links' targets, by the state they found", ("state",)
)


class LinkChecks:
    """The job's handler. With `enabled` False it checks nothing."""

    def __init__(self, store: LinkHealthStore, prober: Prober, *, enabled: bool = True) -> None:
        self._store = store
        self._prober = prober
        self._enabled = enabled
        self._cursor: LinkCursor = START
        self.results: dict[str, int] = {}

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
            checks, now = await self._store.claim(CLAIM_CHECKS)
            if not checks:
                return
            await self._check_all(checks, now, hosts)

    async def _discover(self) -> None:
        """Discover new targets from where the last run ended, beginning again after the last link."""
        for _ in range(DISCOVER_ROUNDS):
            self._cursor = await self._store.discover(self._cursor, DISCOVER_LINKS)
            if self._cursor == START:
                return

    async def _check_all(
        self, checks: Sequence[DueCheck], now: datetime, hosts: "HostLimiter"
    ) -> None:
        """Run the checks, record those that finished, and release the others."""
        started_s, limiter = trio.current_time(), trio.CapacityLimiter(CONCURRENCY)
        outcomes: list[CheckOutcome] = []

        async def one(check: DueCheck) -> None:
            result = await self._check_target(check.target, hosts, limiter)
            at = now + timedelta(seconds=trio.current_time() - started_s)
            self.results[result.state] = self.results.get(result.state, 0) + 1
            outcomes.append(outcome_of(check, result, at))

        try:
            async with trio.open_nursery() as nursery:
                for check in checks:
                    nursery.start_soon(one, check)
        finally:
            with trio.move_on_after(RECORD_S, shield=True):
                await self._record(checks, outcomes)

    async def _record(self, checks: Sequence[DueCheck], outcomes: Sequence[CheckOutcome]) -> None:
        if outcomes:
            await self._store.record(outcomes)
        checked = {(outcome.check.tenant_id, outcome.check.target) for outcome in outcomes}
        unchecked = [check for check in checks if (check.tenant_id, check.target) not in checked]
        if unchecked:
            await self._store.release(unchecked)

    async def _check_target(
        self, target: str, hosts: "HostLimiter", limiter: trio.CapacityLimiter
    ) -> CheckResult:
        """Check one target. `CHECK_S` limits the time of its requests, without the waits for hosts."""
        check, left_s = TargetCheck(target), CHECK_S
        while check.probe is not None:
            async with hosts.alone(check.probe.url), limiter:
                started_s = trio.current_time()
                with trio.move_on_after(left_s) as limit:
                    check.receive(await self._prober.send(check.probe))
                left_s -= trio.current_time() - started_s
            if limit.cancelled_caught:
                return CheckResult(
                    "broken", None, f"no answer within {CHECK_S:g} s", transient=True
                )
        assert check.result is not None
        return check.result

    def samples(self) -> list[Sample]:
        return CHECKS.by_label(self.results)


async def _until_stopping(context: JobContext, scope: trio.CancelScope) -> None:
    """Cancel the run when the worker stops, so that it does not wait for targets."""
    while not context.stopping:  # noqa: ASYNC110  # the flag has no event
        await trio.sleep(POLL_S)
    scope.cancel()


class HostLimiter:
    """The hosts of one run, each with a lock and the time from which it may be used again."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}
        self._free_at_s: dict[str, float] = {}

    @asynccontextmanager
    async def alone(self, url: str) -> AsyncIterator[None]:
        """Wait until PAUSE_S after the last use of the URL's host, and hold the host during the context."""
        host = URL(url).hostname
        async with self._locks.setdefault(host, trio.Lock()):
            await trio.sleep_until(self._free_at_s.get(host, 0.0))
            try:
                yield
            finally:
                self._free_at_s[host] = trio.current_time() + PAUSE_S

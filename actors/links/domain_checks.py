"""Checks that domains have their DNS records: the handler of the job `domains.check`, which is unique."""

from typing import Final

import trio

from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.links.domain import DomainLook, DueDomain, look_result, record_name
from engine.links.ports import DomainLookStore, TxtRecords
from engine.operations.metrics import Metric, Sample

CLAIM_DOMAINS: Final = 100
CONCURRENCY: Final = 16
MAX_ROUNDS: Final = 10

LOOKS: Final = Metric(
    "waypost_domain_checks_total",
    "Looks at the DNS records of domains, by the state they left",
    ("state",),
)


class DomainChecks:
    """The job's handler."""

    def __init__(self, store: DomainLookStore, records: TxtRecords) -> None:
        self._store = store
        self._records = records
        self.results: dict[str, int] = {}

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "domains.check",
                Every(MINUTE),
                "look at the DNS records that prove domains",
                Handler(run=self.run, time_limit_s=600),
            )
        ]

    async def run(self, context: JobContext) -> None:
        """Check due domains, at most MAX_ROUNDS times CLAIM_DOMAINS; the next run does the rest."""
        for _ in range(MAX_ROUNDS):
            domains = await self._store.claim(CLAIM_DOMAINS)
            await self._store.record(await self._look_at_all(domains))
            if len(domains) < CLAIM_DOMAINS or context.stopping:
                return

    async def _look_at_all(self, domains: list[DueDomain]) -> list[DomainLook]:
        looks: list[DomainLook] = []
        limiter = trio.CapacityLimiter(CONCURRENCY)

        async def look_at(domain: DueDomain) -> None:
            async with limiter:
                answer = await self._records.texts(record_name(domain.host))
            looks.append(look_result(domain, answer))

        async with trio.open_nursery() as nursery:
            for domain in domains:
                nursery.start_soon(look_at, domain)
        for look in looks:
            self.results[look.state] = self.results.get(look.state, 0) + 1
        return looks

    def samples(self) -> list[Sample]:
        return LOOKS.by_label(self.results)

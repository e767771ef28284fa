"""Screening of all links by the blocklists and settings of the moment: the handler of the job `links.screen`.

Each hour it looks at links that a rule has quarantined, which it may release; once a day, and after a list has
changed, at all links and domains of all tenants. A rule quarantines and releases; what members, visitors or
the operator have quarantined, it leaves alone.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import HOUR, PeriodicJob
from engine.jobs.schedule import Every
from engine.links.abuse.screening import START, LinkKey, ScreeningStore, verdict_of
from engine.links.targets.target_policy import TargetPolicy
from engine.operations.metrics import Metric, Sample

BATCH: Final = 500
ALL_EVERY_S: Final = 86_400.0
TIME_LIMIT_S: Final = 3_000.0
_SLACK_S: Final = 1_800.0

SCREENED: Final = Metric("waypost_links_screened_total", "Links looked up in the blocklists")
QUARANTINES: Final = Metric(
    "waypost_link_quarantines_total",
    "Quarantines of links by the screening, by rule (released: their ends)",
    ("rule",),
)


class Screening:
    """The job's handler. `policy` reads the policy in use, `is_complete` whether all its lists are there."""

    def __init__(
        self,
        store: ScreeningStore,
        policy: Callable[[], Awaitable[TargetPolicy]],
        is_complete: Callable[[], bool],
    ) -> None:
        self._store = store
        self._policy = policy
        self._is_complete = is_complete
        self._last_policy: TargetPolicy | None = None
        self._last_at_s = 0.0
        self.screened = 0
        self.changes = dict.fromkeys(("blocklist", "lookalike", "released"), 0)

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "links.screen",
                Every(HOUR),
                "look all links' targets up in the blocklists once a day, and release what is off them",
                Handler(run=self.run, time_limit_s=TIME_LIMIT_S),
            )
        ]

    async def run(self, context: JobContext) -> None:
        policy, started_s = await self._policy(), trio.current_time()
        await self._screen_links(context, policy, quarantined_only=True)
        is_due = started_s - self._last_at_s >= ALL_EVERY_S - _SLACK_S
        if not is_due and self._last_policy is policy:
            return
        await self._screen_links(context, policy, quarantined_only=False)
        await self._screen_domains(context, policy)
        if not context.stopping:
            self._last_policy, self._last_at_s = policy, started_s

    async def _screen_links(
        self, context: JobContext, policy: TargetPolicy, *, quarantined_only: bool
    ) -> None:
        after, releases = START, self._is_complete()
        while not context.stopping:
            links = await self._store.links(after, BATCH, quarantined_only=quarantined_only)
            judged = (verdict_of(link, policy, releases=releases) for link in links)
            verdicts = [verdict for verdict in judged if verdict is not None]
            self.screened += len(links)
            for verdict in await self._store.quarantine(verdicts):
                self.changes[verdict.rule or "released"] += 1
            if len(links) < BATCH:
                return
            after = links[-1].key

    async def _screen_domains(self, context: JobContext, policy: TargetPolicy) -> None:
        after, releases = START, self._is_complete()
        while not context.stopping:
            domains = await self._store.domains(after, BATCH)
            for domain in domains:
                blocked = {url for url in domain.targets if policy.blocked(url) is not None}
                if not releases:
                    blocked |= set(domain.blocked) & set(domain.targets)
                if blocked != set(domain.blocked):
                    await self._store.block(domain, sorted(blocked))
            if len(domains) < BATCH:
                return
            after = LinkKey(domains[-1].tenant_id, domains[-1].id)

    def samples(self) -> list[Sample]:
        return [SCREENED.sample(self.screened), *QUARANTINES.by_label(self.changes)]

"""Synchronisation of links with GitHub: the handlers of two kinds of jobs.

`github.schedule` enqueues a `github.sync` for each link that is due. `github.sync` acquires the request lease
(one worker at a time sends requests), has the conversation of engine/github/conversation.py with GitHub, and
commits its outcome with the end of its job. An error of GitHub does not fail the job: the link is due again
soon. A job fails only if storage fails or its worker dies.

Links of one tenant to the same repository need one conversation: a link takes the outcome of another link that
is newer than its own job.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.github.conversation import Conversation, pause_after
from engine.github.ports import GithubApi, GithubRequestLease, GithubSyncQueue
from engine.github.repository import Repository, parse_repository_url, web_host
from engine.github.sync import SYNC_KIND, DueSync, PauseState, RequestLease, SyncOutcome, outcome_of
from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import SnoozeError
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.github")

CONVERSATION_S: Final = 45.0
LEASE_S: Final = 60.0  # longer than any conversation, so that none outlives its lease
RELEASE_S: Final = 2.0
POLL_S: Final = 0.25
MAX_ENQUEUED: Final = 200
SYNC_LIMIT_S: Final = 120.0

REQUESTS: Final = Metric(
    "waypost_github_requests_total",
    "Requests to GitHub, by status of the response; none: no response in time",
    ("status",),
)
PAUSES: Final = Metric(
    "waypost_github_pauses_total", "Pauses that GitHub asked for, in which nothing was sent"
)


class GithubSync:
    """The job handlers. `holder` is the worker's name for the lease; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        syncs: GithubSyncQueue,
        request_lease: GithubRequestLease,
        api: GithubApi,
        holder: str,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._syncs = syncs
        self._request_lease = request_lease
        self._api = api
        self._holder = holder
        self._clock = clock
        self._lock = trio.Lock()
        self._host = web_host(api.base_url)
        self.requests: dict[str, int] = {}
        self.pauses = 0
        self.shared = 0

    def samples(self) -> list[Sample]:
        return [PAUSES.sample(self.pauses), *REQUESTS.by_label(self.requests)]

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "github.schedule",
                Every(MINUTE),
                "enqueue the synchronisations that are due, spread over 6 hours",
                Handler(run=self.schedule),
            )
        ]

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of the jobs that are not periodic, by kind."""
        return {SYNC_KIND: Handler(run=self.sync, time_limit_s=SYNC_LIMIT_S)}

    async def schedule(self, _: JobContext) -> None:
        """Enqueue due links, unless GitHub asked for a pause.

        It enqueues no more than fit into a minute: the rest stays in the table, which is read by urgency.
        """
        if await self._request_lease.current_pause() is None:
            await self._syncs.enqueue_due(MAX_ENQUEUED)

    async def sync(self, context: JobContext) -> None:
        tenant_id, link_id = context.job.tenant_id, int(context.job.payload["link_id"])
        async with self._lock:
            lease = await self._acquire_lease(context)
            if isinstance(lease, PauseState):
                await self._syncs.postpone(tenant_id, link_id, lease)
                return
            try:
                await self._sync(context, lease, tenant_id, link_id)
            finally:
                with trio.move_on_after(RELEASE_S, shield=True):
                    await self._request_lease.release(self._holder)

    async def _acquire_lease(self, context: JobContext) -> RequestLease | PauseState:
        """Wait for the lease, or return the pause in force. Raises SnoozeError if the worker stops."""
        while True:
            lease = (
                await self._request_lease.acquire(self._holder, LEASE_S)
                or await self._request_lease.current_pause()
            )
            if lease is not None:
                return lease
            if context.stopping:
                raise SnoozeError(POLL_S)
            await trio.sleep(POLL_S)

    async def _sync(
        self, context: JobContext, lease: RequestLease, tenant_id: int, link_id: int
    ) -> None:
        work = await self._syncs.begin(tenant_id, link_id)
        if work is None:
            return
        repository = parse_repository_url(work.target, self._host)
        if repository is None:
            await self._syncs.forget(tenant_id, link_id)
            return
        outcome = await self._syncs.sibling_outcome(work, repository.key, context.job.created_at)
        if outcome is None:
            outcome = await self._converse(work, repository, lease)
        else:
            self.shared += 1
        await context.finish_with(self._syncs.outcome_writer(work, repository.key, outcome))

    async def _converse(
        self, work: DueSync, repository: Repository, lease: RequestLease
    ) -> SyncOutcome:
        started_s, consecutive_pauses = self._clock(), lease.consecutive_pauses

        def now() -> datetime:
            return lease.now + timedelta(seconds=self._clock() - started_s)

        conversation = Conversation(self._api.base_url, repository, work.remembered, lease.now)
        paused_until: datetime | None = None
        with trio.move_on_after(CONVERSATION_S):
            while conversation.request is not None:
                try:
                    response = await self._api.send(conversation.request)
                except UnavailableError as error:
                    self._count("none")
                    conversation.interrupt("retry", str(error))
                    break
                self._count(str(response.status))
                pause = pause_after(response, now(), consecutive_pauses)
                conversation.receive(response)
                if pause is not None:
                    consecutive_pauses += pause.escalates
                    paused_until = now() + pause.wait
                    await self._request_lease.pause(pause, consecutive_pauses)
                    self.pauses += 1
                    logger.warning(
                        "no requests for %d s: %s", pause.wait.total_seconds(), pause.reason,
                        extra={"event": "github_paused"},
                    )  # fmt: skip
                    if conversation.request is not None:
                        conversation.interrupt("limited", pause.reason)
                elif consecutive_pauses:
                    consecutive_pauses = 0
                    await self._request_lease.reset_pauses()
        if conversation.result is None:
            conversation.interrupt("retry", f"GitHub does not answer within {CONVERSATION_S:g} s")
        assert conversation.result is not None
        return outcome_of(
            conversation.result, work.failures, work.tenant_id, repository.key, now(), paused_until
        )

    def _count(self, status: str) -> None:
        self.requests[status] = self.requests.get(status, 0) + 1

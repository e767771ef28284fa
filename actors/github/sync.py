"""Synchronisation of links with GitHub: the handlers of two kinds of jobs.

`github.schedule` enqueues a `github.sync` for each link that is due. `github.sync` waits for its turn, so that
of all workers one sends at a time, speaks with GitHub as engine/github/conversation.py says, and commits what it has
learned with the end of its job. A failure of GitHub's is no failure of the job: the link's next time is near
then. So a job fails only when storage does, or its worker dies.

Links of one tenant to the same repository need one conversation: what one learned after another was asked for
is taken over by that one.
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
TURN_S: Final = 60.0  # longer than any conversation: nobody loses their turn while they speak
GIVE_S: Final = 2.0
LOOK_S: Final = 0.25
DUE_AT_ONCE: Final = 200
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
    """`holder` names this worker among others; `clock` tells the seconds that pass."""

    def __init__(
        self,
        syncs: GithubSyncQueue,
        turns: GithubRequestLease,
        api: GithubApi,
        holder: str,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._syncs = syncs
        self._turns = turns
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
        """Enqueue what is due, unless GitHub wants no requests now.

        No more than can be asked in a minute, one after the other: the rest waits where it can be sorted.
        """
        if await self._turns.current_pause() is None:
            await self._syncs.enqueue_due(DUE_AT_ONCE)

    async def sync(self, context: JobContext) -> None:
        tenant_id, link_id = context.job.tenant_id, int(context.job.payload["link_id"])
        async with self._lock:
            turn = await self._turn(context)
            if isinstance(turn, PauseState):
                await self._syncs.postpone(tenant_id, link_id, turn)
                return
            try:
                await self._sync(context, turn, tenant_id, link_id)
            finally:
                with trio.move_on_after(GIVE_S, shield=True):
                    await self._turns.release(self._holder)

    async def _turn(self, context: JobContext) -> RequestLease | PauseState:
        """Wait for it, at most as long as the job may run, and not while the worker is to stop."""
        while True:
            turn = (
                await self._turns.acquire(self._holder, TURN_S) or await self._turns.current_pause()
            )
            if turn is not None:
                return turn
            if context.stopping:
                raise SnoozeError(LOOK_S)
            await trio.sleep(LOOK_S)

    async def _sync(
        self, context: JobContext, turn: RequestLease, tenant_id: int, link_id: int
    ) -> None:
        work = await self._syncs.begin(tenant_id, link_id)
        if work is None:
            return
        repository = parse_repository_url(work.target, self._host)
        if repository is None:
            await self._syncs.forget(tenant_id, link_id)
            return
        settled = await self._syncs.sibling_outcome(work, repository.key, context.job.created_at)
        if settled is None:
            settled = await self._converse(work, repository, turn)
        else:
            self.shared += 1
        await context.finish_with(self._syncs.outcome_writer(work, repository.key, settled))

    async def _converse(
        self, work: DueSync, repository: Repository, turn: RequestLease
    ) -> SyncOutcome:
        began, in_a_row = self._clock(), turn.consecutive_pauses

        def now() -> datetime:
            return turn.now + timedelta(seconds=self._clock() - began)

        talk = Conversation(self._api.base_url, repository, work.remembered, turn.now)
        paused: datetime | None = None
        with trio.move_on_after(CONVERSATION_S):
            while talk.request is not None:
                try:
                    response = await self._api.send(talk.request)
                except UnavailableError as error:
                    self._count("none")
                    talk.interrupt("retry", str(error))
                    break
                self._count(str(response.status))
                pause = pause_after(response, now(), in_a_row)
                talk.receive(response)
                if pause is not None:
                    in_a_row += pause.escalates
                    paused = now() + pause.wait
                    await self._turns.pause(pause, in_a_row)
                    self.pauses += 1
                    logger.warning(
                        "no requests for %d s: %s", pause.wait.total_seconds(), pause.reason,
                        extra={"event": "github_paused"},
                    )  # fmt: skip
                    if talk.request is not None:
                        talk.interrupt("limited", pause.reason)
                elif in_a_row:
                    in_a_row = 0
                    await self._turns.reset_pauses()
        if talk.result is None:
            talk.interrupt("retry", f"GitHub does not answer within {CONVERSATION_S:g} s")
        assert talk.result is not None
        return outcome_of(talk.result, work.failures, work.tenant_id, repository.key, now(), paused)

    def _count(self, status: str) -> None:
        self.requests[status] = self.requests.get(status, 0) + 1

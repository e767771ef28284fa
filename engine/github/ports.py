"""Ports of what is kept in step with GitHub, as engine/links/ports.py has the others."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

from engine.accounts.access import Caller
from engine.github.conversation import GithubRequest, GithubResponse, RequestPause
from engine.github.repository import LinkSync
from engine.github.sync import DueSync, PauseState, RequestLease, SyncOutcome
from engine.jobs.job import Job


class LinkSyncStore(Protocol):
    """Links that lead to repositories, as their members see them."""

    async def github_sync(self, caller: Caller, link_id: int) -> LinkSync | None:
        """None when it is not kept in step, and nobody has asked."""

    async def request_github_sync(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        """Have a link synchronised now: its state, and the job. For who may change the link.

        A job that is queued because its time had come is the one. Raises ConflictError("github", …) while
        one runs, or waits because somebody asked, and TooSoonError when somebody asked less than
        SYNC_REQUEST_INTERVAL_S ago. That the target is a repository was found out before.
        """


class GithubSyncQueue(Protocol):
    """The same as workers see it, of all tenants."""

    async def enqueue_due(self, limit: int) -> int:
        """Enqueue jobs for links that are due, the longest due first; how many links."""

    async def begin(self, tenant_id: int, link_id: int) -> DueSync | None:
        """The link is running from here on; None when it is gone, or nobody wants it synchronised."""

    async def sibling_outcome(self, work: DueSync, key: str, since: datetime) -> SyncOutcome | None:
        """What another link of the tenant to the same repository has come to since then."""

    async def postpone(self, tenant_id: int, link_id: int, paused: PauseState) -> None: ...

    async def forget(self, tenant_id: int, link_id: int) -> None: ...

    def outcome_writer(
        self, work: DueSync, key: str, settled: SyncOutcome
    ) -> Callable[[Any], Awaitable[None]]:
        """Writes down what it came to, on the connection it is given; unless the target has changed."""


class GithubRequestLease(Protocol):
    """Whose turn it is to send requests, and until when nobody's: for all workers of one API and token."""

    async def acquire(self, holder: str, ttl_s: float) -> RequestLease | None:
        """The turn; None while another has it, or there is a pause. Taken again by its own holder."""

    async def current_pause(self) -> PauseState | None: ...

    async def pause(self, pause: RequestPause, in_a_row: int) -> None:
        """No pause shortens another."""

    async def reset_pauses(self) -> None:
        """The next pause is the first in a row."""

    async def release(self, holder: str) -> None: ...


class GithubApi(Protocol):
    @property
    def base_url(self) -> str: ...

    async def send(self, request: GithubRequest) -> GithubResponse:
        """Redirects are not followed. Raises UnavailableError when there is no answer in time."""

"""Ports of the synchronisation with GitHub: stored states, the lease on requests, and the API."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

from engine.accounts.access import Caller
from engine.github.conversation import GithubRequest, GithubResponse, RequestPause
from engine.github.repository import LinkSync
from engine.github.sync import DueSync, PauseState, RequestLease, SyncOutcome
from engine.jobs.job import Job


class LinkSyncStore(Protocol):
    """Synchronisations of links, for members."""

    async def github_sync(self, caller: Caller, link_id: int) -> LinkSync | None:
        """Return a link's synchronisation; None if it is not periodic and no member has requested one."""

    async def request_github_sync(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        """Enqueue a link's synchronisation. Returns its state and the job. Takes Action.EDIT.

        A queued job that became due by itself serves the request. Raises ConflictError("github", …) while a
        requested one is queued or any one runs, and TooSoonError within SYNC_REQUEST_INTERVAL_S of the last
        request. The caller must have checked that the target is a repository.
        """


class GithubSyncQueue(Protocol):
    """Synchronisations of the links of all tenants, for workers."""

    async def enqueue_due(self, limit: int) -> int:
        """Enqueue jobs for at most `limit` due links, the longest due first. Returns their number."""

    async def begin(self, tenant_id: int, link_id: int) -> DueSync | None:
        """Set a link's state to running. Returns None if the link is gone or not to be synchronised."""

    async def sibling_outcome(self, work: DueSync, key: str, since: datetime) -> SyncOutcome | None:
        """Return the outcome of another link of the tenant to the same repository after `since`, or None."""

    async def postpone(self, tenant_id: int, link_id: int, pause: PauseState) -> None:
        """Set a link's state to queued, due when the pause ends."""

    async def forget(self, tenant_id: int, link_id: int) -> None:
        """Delete a link's synchronisation."""

    def outcome_writer(
        self, work: DueSync, key: str, outcome: SyncOutcome
    ) -> Callable[[Any], Awaitable[None]]:
        """Return a function that writes the outcome on the connection that it is called with. It writes
        nothing if the link's target has changed."""


class GithubRequestLease(Protocol):
    """A lease on sending requests, shared by all workers that use the same API and token, and the pause that
    GitHub asked for."""

    async def acquire(self, holder: str, ttl_s: float) -> RequestLease | None:
        """Acquire or renew the lease. Returns None while another worker holds it or a pause is in force."""

    async def current_pause(self) -> PauseState | None:
        """Return the pause in force, or None."""

    async def pause(self, pause: RequestPause, consecutive_pauses: int) -> None:
        """Begin a pause, or extend the one in force; a pause never shortens another one."""

    async def reset_pauses(self) -> None:
        """Set the number of consecutive pauses to 0."""

    async def release(self, holder: str) -> None:
        """Release the lease if `holder` has it."""


class GithubApi(Protocol):
    """GitHub's REST API."""

    @property
    def base_url(self) -> str:
        """The URL of the API, without a slash at its end."""

    async def send(self, request: GithubRequest) -> GithubResponse:
        """Return the response, without following redirects. Raises UnavailableError if none comes in time."""

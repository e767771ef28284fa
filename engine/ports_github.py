"""Ports of what is kept in step with GitHub, as engine/ports.py has the others."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

from engine.access import Caller
from engine.github import Pause, Request, Response
from engine.github_sync import Paused, Settled, SyncWork, Turn
from engine.job import Job
from engine.repository import LinkSync


class GithubStore(Protocol):
    """Links that lead to repositories, as their members see them."""

    async def github_sync(self, caller: Caller, link_id: int) -> LinkSync | None:
        """None when it is not kept in step, and nobody has asked."""

    async def ask_github_sync(self, caller: Caller, link_id: int) -> tuple[LinkSync, Job]:
        """Have a link synchronised now: its state, and the job. For who may change the link.

        A job that is queued because its time had come is the one. Raises ConflictError("github", …) while
        one runs, or waits because somebody asked, and TooSoonError when somebody asked less than
        ASK_INTERVAL_S ago. That the target is a repository was found out before.
        """


class GithubSyncs(Protocol):
    """The same as workers see it, of all tenants."""

    async def enqueue_due(self, limit: int) -> int:
        """Enqueue jobs for links that are due, the longest due first; how many links."""

    async def begin(self, tenant_id: int, link_id: int) -> SyncWork | None:
        """The link is running from here on; None when it is gone, or nobody wants it synchronised."""

    async def sibling(self, work: SyncWork, key: str, since: datetime) -> Settled | None:
        """What another link of the tenant to the same repository has come to since then."""

    async def postpone(self, tenant_id: int, link_id: int, paused: Paused) -> None: ...

    async def forget(self, tenant_id: int, link_id: int) -> None: ...

    def finishing(
        self, work: SyncWork, key: str, settled: Settled
    ) -> Callable[[Any], Awaitable[None]]:
        """Writes down what it came to, on the connection it is given; unless the target has changed."""


class GithubTurns(Protocol):
    """Whose turn it is to send requests, and until when nobody's: for all workers of one API and token."""

    async def take(self, holder: str, ttl_s: float) -> Turn | None:
        """The turn; None while another has it, or there is a pause. Taken again by its own holder."""

    async def paused(self) -> Paused | None: ...

    async def pause(self, pause: Pause, in_a_row: int) -> None:
        """No pause shortens another."""

    async def calm(self) -> None:
        """The next pause is the first in a row."""

    async def give(self, holder: str) -> None: ...


class GithubApi(Protocol):
    @property
    def base_url(self) -> str: ...

    async def ask(self, request: Request) -> Response:
        """Redirects are not followed. Raises UnavailableError when there is no answer in time."""

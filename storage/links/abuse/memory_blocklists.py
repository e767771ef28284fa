"""Copies of blocklists in memory: the twin of storage/links/abuse/blocklists.py."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import trio

from engine.links.abuse.fetched_list import Fetched, ListState


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryBlocklists:
    """ListStore without a server."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._states: dict[str, ListState] = {}
        self._bodies: dict[str, bytes] = {}

    async def states(self, urls: Sequence[str]) -> dict[str, ListState]:
        await trio.lowlevel.checkpoint()
        return {url: self._states[url] for url in urls if url in self._states}

    async def body(self, url: str) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._bodies.get(url, b"")

    async def record(self, url: str, fetched: Fetched) -> None:
        await trio.lowlevel.checkpoint()
        state = self._states.setdefault(url, ListState(url, 0, "", None, ""))
        if fetched.outcome == "new":
            self._bodies[url] = fetched.body
            state = state._replace(version=state.version + 1, tag=fetched.tag)
        if fetched.outcome != "failed":
            state = state._replace(fetched_at=self._now())
        self._states[url] = state._replace(reason=fetched.reason)

    async def forget(self, urls: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        self._states = {url: state for url, state in self._states.items() if url in urls}

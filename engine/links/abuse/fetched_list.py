"""Blocklists by URL: what a fetch brings, and which copy of a list is in use."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

from engine.links.targets.blocklist import parse_blocklist

MAX_LIST_BYTES: Final = 32 * 1024**2
MAX_URLS: Final = 8
FETCH_S: Final = 60.0
MAX_HOPS: Final = 3
MAX_TAG_CHARS: Final = 200

FetchOutcome = Literal["new", "unchanged", "failed"]


class Fetched(NamedTuple):
    """The result of a fetch: a new body with its entity tag, or why there is none."""

    outcome: FetchOutcome
    body: bytes = b""
    tag: str = ""
    reason: str = ""


class ListState(NamedTuple):
    """The copy of a list that is in use. `version` grows with each; 0: there is none so far. `reason` says why
    the last fetch brought none."""

    url: str
    version: int
    tag: str
    fetched_at: datetime | None
    reason: str


class ListFetcher(Protocol):
    """A client for blocklists."""

    async def fetch(self, url: str, tag: str) -> Fetched:
        """Fetch a list unless it has this tag. Bounded in bytes and hops, not in time: the caller cancels."""


class ListStore(Protocol):
    """The copies of blocklists, for all processes. All methods raise UnavailableError."""

    async def states(self, urls: Sequence[str]) -> dict[str, ListState]:
        """Return the states of lists that were ever fetched, by URL."""

    async def body(self, url: str) -> bytes:
        """Return the copy in use."""

    async def record(self, url: str, fetched: Fetched) -> None:
        """Keep a new copy in the place of the last one, or note why there is none."""

    async def forget(self, urls: Sequence[str]) -> None:
        """Forget the copies of all lists but these."""


def judged(fetched: Fetched) -> Fetched:
    """Return a fetch as it is, or as failed if its body is no blocklist."""
    if fetched.outcome != "new":
        return fetched
    try:
        blocklist = parse_blocklist(lines_of(fetched.body))
    except ValueError as error:
        return Fetched("failed", reason=str(error))
    if not blocklist.entries:
        return Fetched("failed", reason="it has no entry")
    if blocklist.ignored > blocklist.entries:
        reason = f"it has {blocklist.ignored:,} lines that are no entry, and {blocklist.entries:,} entries"
        return Fetched("failed", reason=reason)
    return fetched


def lines_of(body: bytes) -> list[str]:
    """Return a list's lines."""
    return body.decode("utf-8", "replace").splitlines()

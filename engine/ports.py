"""Ports: what actors and doors ask of storage. Each has a real implementation and an in-memory twin.

All methods are trio-async and cancellable, and raise `UnavailableError` when the server behind them
does not answer within its time limit. One contract suite (tests/storage/) runs against both.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from engine.access import Caller
from engine.batch import Batch
from engine.link import Link, LinkDraft
from engine.profile import Change, Profile, ProfileDraft, Snapshot
from engine.rate import Decision, Quota
from engine.rollup import Stats, StatsQuery


class Page(NamedTuple):
    """One page of a list; `next_after` is the last id when there may be more."""

    items: list[Any]
    next_after: int | None


class ProfileStore(Protocol):
    """Profiles and links as the console changes them, each for its members.

    Every change bumps the profile's version in the same transaction and returns what was stored.
    Ids of what the caller is no member of raise NotFoundError, the same as ids that do not exist; a
    role or key that does not suffice raises ForbiddenError (engine/access.py has the table). Drafts have
    been checked already. `if_version` raises LostUpdateError when the object has another version.
    """

    async def create_profile(self, caller: Caller, draft: ProfileDraft) -> Profile:
        """Raises ConflictError("handle", …)."""

    async def profile(self, caller: Caller, profile_id: int) -> Profile: ...

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> Page: ...

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: ProfileDraft,
        if_version: int | None = None,
    ) -> Profile: ...

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        """Deletes its links too. Counts stay."""

    async def create_link(
        self, caller: Caller, profile_id: int, draft: LinkDraft
    ) -> tuple[Link, Change]:
        """Raises ConflictError("slug", …).

        `draft.short` True claims `/{slug}` or raises ConflictError("short", …); None claims it when it
        is free; False does not.
        """

    async def link(self, caller: Caller, link_id: int) -> Link: ...

    async def list_links(self, caller: Caller, profile_id: int, after: int, limit: int) -> Page: ...

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: LinkDraft,
        if_version: int | None = None,
    ) -> tuple[Link, Change]:
        """Raises as `create_link` does. What changes nothing is returned as it is, with no new version.

        `draft.short` None keeps what the link has; with a new slug, it claims that one when it is free.
        """

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> Change: ...


class ImportRow(NamedTuple):
    """A checked row of an import file; `line` is where it stood. An empty title keeps a link's own."""

    line: int
    handle: str
    slug: str
    target: str
    title: str


class ImportResult(NamedTuple):
    """`rejected` pairs lines with reasons; `changes` are the profiles to announce."""

    created: int
    updated: int
    unchanged: int
    rejected: list[tuple[int, str]]
    changes: list[Change]


class BulkStore(Protocol):
    async def import_rows(self, caller: Caller, rows: Sequence[ImportRow]) -> ImportResult:
        """One transaction for up to 5,000 rows. Idempotent: the same rows again change nothing.

        Of rows with the same handle and slug the last wins, and the others count as unchanged.
        """


class SnapshotSource(Protocol):
    """What edges read: every tenant's profiles, read only."""

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        """The profile that answers each canonical path, in the order asked, or None.

        Paths are `/slug`, `/handle/slug` or `/@handle`, as `engine.name.path_key` spells them. A
        profile of more than MAX_WHOLE_LINKS links comes incomplete, with the asked links only;
        several asked paths of one profile give the very same Snapshot object.
        """

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        """What changed after version `since`; None when the profile is gone.

        When more than `limit` links changed, the answer is incomplete with no links and `since` None:
        forget them and ask again as visitors come.
        """

    async def changes(self, cursor: str | None) -> tuple[list[Change] | None, str]:
        """Changes committed since `cursor`, and the next cursor; each at least once, none ever missed.

        With None: no changes, only a cursor of now. A list of None means too many: assume all changed.
        """


class Announcer(Protocol):
    """News of changes by Redis pub/sub: fast, and allowed to lose some. Polling makes up for that."""

    async def announce(self, changes: Sequence[Change]) -> None:
        """Never raises: a lost announcement is found by polling, and counted."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[Change]]: ...


class StatsReader(Protocol):
    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Of a profile of that tenant's; that the caller may see it is found out before."""


class KeyStore(Protocol):
    async def authenticate(self, key: str) -> Caller | None:
        """Whose key this is. Only its SHA-256 is stored and compared. Raises ExpiredError."""


class Position(NamedTuple):
    """How far a journal is folded, and under which fencing token its stream is owned."""

    journal_id: UUID
    sequence: int
    token: int


class ClickLedger(Protocol):
    """The counts, and each journal's watermark next to them in one transaction."""

    async def register(self, journal_id: UUID) -> int:
        """Make the journal's row if there is none; its watermark."""

    async def watermark(self, journal_id: UUID) -> int:
        """The sequence of the last click that is committed; 0 before the first."""

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[Position]:
        """Renew the leases that `owner` holds and take free or expired ones, `limit` in all.

        A lease that changes hands gets a higher token. Times are the database's own.
        """

    async def release(self, owner: str) -> None: ...

    async def commit(self, position: Position, batches: Sequence[Batch]) -> Position:
        """Raw rows, rollups and the watermark's move, all or nothing.

        `batches` continue the position without a gap; what lies at or below it is skipped. Raises
        StaleLeaseError when the position or the token is no longer this one's.
        """

    async def retire(self, journal_id: UUID) -> None:
        """Forget a journal that is wholly committed and deleted. Its id never comes again."""

    async def set_aside(self, position: Position, batch: Batch, reason: str) -> Position:
        """Keep a batch that cannot be folded, whole, and move on past it, under the same guard."""


class ClickStream(Protocol):
    """One Redis stream a journal; an entry is a batch, its id the batch's last sequence."""

    async def add(self, journal_id: UUID, previous: int, batch: Batch) -> bool:
        """Append a batch if the stream's last entry is `previous`; False when it is not.

        False means that the stream lost entries or has others: `reset` it and ship again from the
        watermark. `previous` 0 with an empty stream is always right after a reset.
        """

    async def last(self, journal_id: UUID) -> int | None:
        """The last entry's sequence; None when the stream is empty."""

    async def reset(self, journal_id: UUID) -> None: ...

    async def trim(self, journal_id: UUID, below: int) -> None:
        """Delete entries under sequence `below`, never the last one."""

    async def read(
        self, journal_id: UUID, after: int, max_batches: int, wait_ms: int
    ) -> list[Batch]:
        """Entries after a sequence, oldest first; waits up to `wait_ms` for the first."""


class Charge(NamedTuple):
    """`cost` units of `quota` for `subject`: a key's id, an address, an account."""

    quota: Quota
    subject: str
    cost: int = 1


class RateLimiter(Protocol):
    """Rate limits that all processes share."""

    async def decide(self, charges: Sequence[Charge]) -> list[Decision]:
        """A decision for each charge, in the order asked; by one clock, which is not the caller's.

        Each is decided and used up on its own, whatever becomes of the others: a request passes when
        all allow it. Raises ValueError for more than 16 charges, or a negative cost.
        """

"""Ports: what actors and doors ask of storage. Each has a real implementation and an in-memory twin.

All methods are trio-async and cancellable, and raise `UnavailableError` when the server behind them
does not answer within its time limit. One contract suite (tests/storage/) runs against both.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from engine.accounts.access import Caller
from engine.common.errors import WaypostError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.links.link import Link, LinkDraft
from engine.links.profile import Profile, ProfileChange, ProfileDraft


class LinkChange(NamedTuple):
    """One of many changes of a profile's links. `draft` makes what is wanted of what is stored (None for a
    create), and raises InvalidError; `link_id` and `if_version` are for updates and deletes."""

    op: Literal["create", "update", "delete"]
    draft: Callable[[Link | None], LinkDraft]
    link_id: int = 0
    if_version: int | None = None


class LinkChangeResult(NamedTuple):
    """What became of one: the link as it is now (None when it was deleted), or why nothing was done."""

    link: Link | None = None
    error: WaypostError | None = None


class ProfileStore(Protocol):
    """Profiles and links as the console changes them, each for its members.

    Every change bumps the profile's version in the same transaction and returns what was stored.
    Ids of what the caller is no member of raise NotFoundError, the same as ids that do not exist; a
    role or key that does not suffice raises ForbiddenError (engine/accounts/access.py has the table). Drafts have
    been checked already. `if_version` raises LostUpdateError when the object has another version. With
    `once`, a create raises AlreadyAnsweredError when the same request has been answered before, and
    InvalidError when another one has used its key.
    """

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        """Raises ConflictError("handle", …)."""

    async def profile(self, caller: Caller, profile_id: int) -> Profile: ...

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> ListPage: ...

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
        self,
        caller: Caller,
        profile_id: int,
        draft: LinkDraft,
        once: IdempotentRequest[tuple[Link, ProfileChange]] | None = None,
    ) -> tuple[Link, ProfileChange]:
        """Raises ConflictError("slug", …).

        `draft.short` True claims `/{slug}` or raises ConflictError("short", …); None claims it when it
        is free; False does not.
        """

    async def link(self, caller: Caller, link_id: int) -> Link: ...

    async def list_links(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: LinkDraft,
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        """Raises as `create_link` does. What changes nothing is returned as it is, with no new version.

        `draft.short` None keeps what the link has; with a new slug, it claims that one when it is free.
        """

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> ProfileChange: ...

    async def change_links(
        self,
        caller: Caller,
        profile_id: int,
        operations: Sequence[LinkChange],
        once: IdempotentRequest[tuple[list[LinkChangeResult], ProfileChange]] | None = None,
    ) -> tuple[list[LinkChangeResult], ProfileChange]:
        """Many changes of one profile's links in one transaction: what became of each, in their order.

        One that fails changes nothing and stops no other. Together they are one version of the profile,
        or none if nothing changed.
        """


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
    changes: list[ProfileChange]


class LinkImporter(Protocol):
    async def import_rows(self, caller: Caller, rows: Sequence[ImportRow]) -> ImportResult:
        """One transaction for up to 5,000 rows. Idempotent: the same rows again change nothing.

        Of rows with the same handle and slug the last wins, and the others count as unchanged.
        """

"""Ports of profiles, links and domains, implemented by storage. Each has a real store and an in-memory twin.

All methods are trio-async and cancellable, and raise UnavailableError if the server behind them does not
answer within its time limit. One contract suite (tests/storage/) runs against both implementations.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change
from engine.common.errors import WaypostError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.links.domain import (
    Domain,
    DomainAddress,
    DomainDraft,
    DomainLook,
    DueDomain,
    NewDomainDraft,
    TxtAnswer,
)
from engine.links.imports.row_error import RowReject
from engine.links.link import Link, LinkDraft
from engine.links.link_clicks import ClickPeriod, ClicksOfLinks
from engine.links.link_query import ALL, LinkQuery
from engine.links.profile import Profile, ProfileChange, ProfileDraft
from engine.links.visitor_path import ParsedPath


class LinkChange(NamedTuple):
    """A change among many of a profile's links. `draft` makes the new draft of the stored link (None for a
    create), and raises InvalidError. `link_id` and `if_version` are for updates and deletes."""

    op: Literal["create", "update", "delete"]
    draft: Callable[[Link | None], LinkDraft]
    link_id: int = 0
    if_version: int | None = None


class LinkChangeResult(NamedTuple):
    """The result of one LinkChange: the changed link (None after a delete), or the error that prevented it."""

    link: Link | None = None
    error: WaypostError | None = None


class CountClicks(Protocol):
    """The reader of counts that a store of links is given."""

    async def __call__(
        self,
        connection: Any,
        tenant_id: int,
        profile_id: int,
        period: ClickPeriod,
        links: Sequence[int] | None,
    ) -> ClicksOfLinks:
        """Return the clicks of some links of a profile (None: of all), in the snapshot of `connection`; without
        opening clicks and resets. Raises InvalidError for too many clicks, and SlowQueryError."""


class ProfileStore(Protocol):
    """Profiles and links, as the console changes them for members.

    Every change increments the profile's version in the same transaction and returns the stored object.
    The id of a profile that the caller is not a member of raises NotFoundError, as an unknown id does; a
    role or API key that does not suffice raises ForbiddenError (engine/accounts/access.py has the table).
    Callers must have validated the drafts. `if_version` raises LostUpdateError if the object has another
    version. With `once`, a create raises AlreadyAnsweredError if the same request was answered before, and
    InvalidError if another request has used its idempotency key.
    """

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        """Create a profile. Raises ConflictError("handle", …)."""

    async def profile(
        self, caller: Caller, profile_id: int, action: Action = Action.READ
    ) -> Profile:
        """Return the profile, to a caller who may take the action."""

    async def list_profiles(
        self, caller: Caller, after: int, limit: int, handle: str | None = None
    ) -> ListPage:
        """List the caller's profiles with their role in each; with a handle, in lower case, only that one."""

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: Change[ProfileDraft, Profile],
        if_version: int | None = None,
    ) -> Profile: ...

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        """Delete a profile and its links. Counts stay."""

    async def create_link(
        self,
        caller: Caller,
        profile_id: int,
        draft: LinkDraft,
        once: IdempotentRequest[tuple[Link, ProfileChange]] | None = None,
    ) -> tuple[Link, ProfileChange]:
        """Create a link. Raises ConflictError("slug", …) or ("external_id", …).

        Without a slug, the link gets a free one (engine/links/generated_slug.py).
        `draft.short` True claims `/{slug}` or raises ConflictError("short", …); None claims it if it is free;
        False does not.
        """

    async def link(self, caller: Caller, link_id: int, period: ClickPeriod | None = None) -> Link:
        """Return a link, with its clicks in the period if there is one. Raises InvalidError for a period with
        too many clicks to be read."""

    async def reset_counts(self, caller: Caller, link_id: int) -> tuple[Link, ProfileChange]:
        """Let the link's total begin at 0: opening clicks go, and clicks so far are no part of it. Returns the
        link with its clicks of all time. Statistics stay."""

    async def list_links(
        self, caller: Caller, profile_id: int, after: int, limit: int, query: LinkQuery = ALL
    ) -> ListPage:
        """List the links that pass the query's filters, in its order. `after` is the id of the last link of the
        page before, 0 for the first page. A page of large links (engine/links/link_size.py) has fewer than
        `limit`."""

    async def link_at(self, caller: Caller, address: ParsedPath) -> Link:
        """Return the link at a visitors' address. Raises NotFoundError."""

    async def similar_link(self, caller: Caller, profile_id: int, draft: LinkDraft) -> Link | None:
        """Return the profile's link with the draft's slug, or without a slug its oldest to the same target."""

    async def put_link(
        self,
        caller: Caller,
        profile_id: int,
        external_id: str,
        draft: Change[LinkDraft, Link | None],
    ) -> tuple[Link, ProfileChange, bool]:
        """Create the link with this id of another system, or change it. Returns whether it was created, too.

        `draft` makes the draft of the stored link, or of None. Raises the errors of create_link().
        """

    async def order_links(
        self, caller: Caller, profile_id: int, link_ids: Sequence[int]
    ) -> ProfileChange:
        """Place links in this order on the profile's page, before its others. Raises NotFoundError for an id
        that is none of its links; then nothing changes."""

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: Change[LinkDraft, Link],
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        """Update a link. Raises the errors of create_link(). A draft that changes nothing makes no new version.

        `draft.short` None leaves `short` unchanged; with a new slug, it claims the new `/{slug}` if it is free.
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
        """Apply many changes of one profile's links in one transaction. Returns a result for each, in their
        order, and the profile's change.

        A failed change has no effect, and the others proceed. All changes make one version of the profile, or
        none if nothing changed.
        """


class ImportRow(NamedTuple):
    """A valid row of an import file. `line` is its number. An empty title leaves an existing link's title.

    `fields` has values of a LinkDraft's further fields; those that are left out stay as they are. `other_line`
    is another line of the file with the same address, 0 if there is none. `chars` is its size in the file.
    """

    line: int
    handle: str
    slug: str
    target: str
    title: str
    kind: str = "url"
    fields: Mapping[str, Any] = {}
    created_at: datetime | None = None
    other_line: int = 0
    chars: int = 0


class ImportResult(NamedTuple):
    """Numbers of links, the rejected rows, and the profile changes to announce."""

    created: int
    updated: int
    unchanged: int
    rejected: list[RowReject]
    changes: list[ProfileChange]


# Writes what becomes of the rows in their transaction.
ImportNote = Callable[[Any, ImportResult], Awaitable[None]]


class LinkImporter(Protocol):
    """Imports of links from files."""

    async def case_sensitive_handles(self, caller: Caller) -> frozenset[str]:
        """Return the handles of the caller's tenant in whose slugs case counts, by a domain of the profile."""

    async def import_rows(
        self,
        caller: Caller,
        rows: Sequence[ImportRow],
        if_exists: Literal["update", "reject"] = "update",
        *,
        dry_run: bool = False,
        note: ImportNote | None = None,
    ) -> ImportResult:
        """Create or update links for up to 5,000 rows in one transaction. Idempotent: to import the same rows
        again changes nothing.

        Of rows with the same handle and slug the first one counts, and the others are rejected. `if_exists`
        "reject" rejects rows that differ from an existing link. A dry run changes nothing. `note(connection,
        result)` is called in the transaction, and may be called more than once, as the transaction is repeated
        after a deadlock; it is not called in a dry run. If it raises, nothing is written.
        """


class DomainStore(Protocol):
    """Store of profiles' domains, for members; errors as in ProfileStore. Drafts are valid already."""

    async def create_domain(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewDomainDraft,
        once: IdempotentRequest[Domain] | None = None,
    ) -> Domain:
        """Create a pending domain, which is looked at within a minute.

        Raises ConflictError("host", …) if the tenant has that host, ConflictError("domains", …) if the
        profile has MAX_DOMAINS.
        """

    async def domain(self, caller: Caller, domain_id: int) -> Domain: ...

    async def list_domains(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_domain(
        self,
        caller: Caller,
        domain_id: int,
        draft: Change[DomainDraft, Domain],
        if_version: int | None = None,
    ) -> Domain: ...

    async def delete_domain(
        self, caller: Caller, domain_id: int, if_version: int | None = None
    ) -> None: ...

    async def look_again(self, caller: Caller, domain_id: int) -> Domain:
        """Have the domain's record looked at within a minute; a failed one is pending again."""

    async def domain_at(self, caller: Caller, host: str) -> DomainAddress:
        """Return the profile's handle and the rules of the verified domain with a canonical host. Raises
        NotFoundError for other than members of the profile."""

    async def is_verified(self, host: str) -> bool:
        """Return whether a canonical host is a verified domain, of whichever tenant."""


class DomainLookStore(Protocol):
    """Domains of all tenants whose records are to be looked at."""

    async def claim(self, limit: int) -> list[DueDomain]:
        """Claim at most `limit` due domains for ten minutes."""

    async def record(self, looks: Sequence[DomainLook]) -> None:
        """Record looks, but those of domains that were changed or deleted meanwhile.

        A host has one verified domain. If another tenant's has it, the domain stays pending with that as its
        reason, and the other is looked at at once: it loses the host when its record is gone.
        """


class TxtRecords(Protocol):
    """A resolver of TXT records."""

    async def texts(self, name: str) -> TxtAnswer:
        """Return the texts of a name's TXT records. Bounded in time. Failures are answers, not errors."""

"""Ports of shares, of items that members keep for dashboards, and of digests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from engine.accounts.access import Caller
from engine.common.drafts import Change
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.stats.dashboards.digest import Cadence, DigestRecipient, DigestSettings
from engine.stats.dashboards.share import NewShare, ResolvedShare, ShareDraft


class ShareStore(Protocol):
    """Shares of a profile's stats. Members manage them; whoever holds a token reads."""

    async def create_share(
        self,
        caller: Caller,
        profile_id: int,
        draft: ShareDraft,
        once: IdempotentRequest[NewShare] | None = None,
    ) -> NewShare:
        """Make a share. Raises ConflictError("shares", …) if the profile has MAX_SHARES."""

    async def list_shares(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        """Return the profile's shares of ids above `after`, expired ones included."""

    async def revoke_share(self, caller: Caller, profile_id: int, share_id: int) -> None: ...

    async def allows_origin(self, origin: str) -> bool:
        """Return whether a working share, of any tenant, allows pages of this origin."""

    async def share_of(self, token: str) -> ResolvedShare | None:
        """Return the share of a token, or None if there is none. Raises ExpiredError.

        Only the token's SHA-256 is stored and compared.
        """


Draft = TypeVar("Draft", contravariant=True)
Item = TypeVar("Item", covariant=True)


class DashboardItemStore(Protocol[Draft, Item]):
    """Items of one kind that members keep for a profile's dashboard; errors as in ProfileStore.

    To read takes Action.READ, to change Action.EDIT. An item of another profile raises NotFoundError.
    """

    async def create(
        self,
        caller: Caller,
        profile_id: int,
        draft: Draft,
        once: IdempotentRequest[Any] | None = None,
    ) -> Item:
        """Keep an item. Raises ConflictError if the profile has as many as it may."""

    async def list_items(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        """Return the profile's items of ids above `after`."""

    async def item(self, caller: Caller, profile_id: int, item_id: int) -> Item: ...

    async def update(
        self,
        caller: Caller,
        profile_id: int,
        item_id: int,
        draft: Change[Any, Any],
        if_version: int | None = None,
    ) -> Item: ...

    async def delete(
        self, caller: Caller, profile_id: int, item_id: int, if_version: int | None = None
    ) -> None: ...

    async def all_of(self, tenant_id: int, profile_id: int) -> Sequence[Item]:
        """Return every item of a profile of the tenant. The route must have checked the caller's access."""


class DigestSettingsStore(Protocol):
    """Digest settings: each member's own, for each profile. To read and change them takes Action.READ."""

    async def settings(self, caller: Caller, profile_id: int) -> DigestSettings:
        """Return the caller's settings; those of a member who never changed them are the defaults."""

    async def store_settings(
        self, caller: Caller, profile_id: int, settings: DigestSettings
    ) -> DigestSettings:
        """Store the caller's settings. A key needs the scope write."""


class DigestQueue(Protocol):
    """Digests that are due, for workers."""

    async def enqueue_due(
        self, connection: Any, cadence: Cadence, due: datetime, *, mail: bool
    ) -> None:
        """Enqueue a job for each digest of a cadence, in the transaction of `connection`: one for each profile
        with a webhook that subscribes to its event, and with `mail` one for each member who gets it."""

    async def recipient(
        self, tenant_id: int, profile_id: int, user_id: int, cadence: Cadence
    ) -> DigestRecipient | None:
        """Return who gets the digest; None if they have turned it off, or left the profile."""

    async def names(self, tenant_id: int, profile_id: int) -> tuple[str, str] | None:
        """Return the profile's handle and title, or None if it is deleted."""

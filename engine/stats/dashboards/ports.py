"""Port of shares."""

from typing import Protocol

from engine.accounts.access import Caller
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
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

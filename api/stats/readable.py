"""Access to a profile's stats: by a member, or by the token of a share within its bounds."""

from collections.abc import Sequence
from datetime import datetime

from api.http.auth import current_caller, share_or_none
from engine.common.errors import NotFoundError
from engine.links.ports import ProfileStore
from engine.links.profile import Profile
from engine.stats.dashboards.share import Share, pairs_within, require_within
from engine.stats.query import StatsQuery


async def readable_profile(store: ProfileStore, profile_id: int) -> Profile:
    """Return a profile whose stats the current request may read. Raises NotFoundError, ForbiddenError."""
    resolved = share_or_none()
    if resolved is None:
        return await store.profile(current_caller(), profile_id)
    if resolved.profile.id != profile_id:
        raise NotFoundError.of("profile")
    return resolved.profile


def current_share() -> Share | None:
    """Return the share by whose token the current request came, or None."""
    resolved = share_or_none()
    return None if resolved is None else resolved.share


def shared_pairs(pairs: Sequence[tuple[str, str]], now: datetime) -> list[tuple[str, str]]:
    """Return the parameters of a query, completed from the bounds of the request's share."""
    share = current_share()
    return list(pairs) if share is None else pairs_within(share, pairs, now)


def require_shared(query: StatsQuery, now: datetime) -> None:
    """Raise ForbiddenError if the request came by a share that does not allow the query."""
    share = current_share()
    if share is not None:
        require_within(share, query, now)

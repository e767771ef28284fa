"""The profile of a link whose caller names none."""

import base64
import hashlib
from typing import Final

from api.links.announce import announce
from engine.accounts.access import Caller
from engine.common.errors import ConflictError
from engine.links.ports import ProfileStore
from engine.links.profile import Profile, ProfileChange, ProfileDraft
from engine.visits.ports import Announcer

MAX_PROFILES: Final = 100  # of a caller that are looked at, the oldest ones


async def default_profile(store: ProfileStore, announcer: Announcer, caller: Caller) -> Profile:
    """Return the oldest profile of the caller's own tenant, else the oldest that the caller is a member of.

    A caller without any gets one. Calls at the same time get the same one, as its handle is the tenant's.
    Raises ForbiddenError if a profile is missing and the key may not create it.
    """
    profile = await _oldest(store, caller)
    if profile is not None:
        return profile
    try:
        profile = await store.create_profile(caller, ProfileDraft(handle=_handle(caller.tenant_id)))
    except ConflictError:
        if (profile := await _oldest(store, caller)) is None:
            raise
        return profile
    await announce(announcer, [ProfileChange(profile.id, profile.version)])
    return profile


async def _oldest(store: ProfileStore, caller: Caller) -> Profile | None:
    profiles: list[Profile] = (await store.list_profiles(caller, 0, MAX_PROFILES)).items
    own = (profile for profile in profiles if profile.tenant_id == caller.tenant_id)
    return next(own, profiles[0] if profiles else None)


def _handle(tenant_id: int) -> str:
    """Return the handle of a tenant's first profile, from which nobody reads the tenant's id."""
    digest = hashlib.blake2b(str(tenant_id).encode(), digest_size=5, person=b"handle").digest()
    return "links-" + base64.b32encode(digest).decode().lower()

"""Bodies of profiles and links."""

from datetime import datetime

import msgspec

from api.github.bodies import SyncResponse
from api.http.bodies import FieldReason, Id, Url, Version
from engine.links.health import LinkHealth


class ProfileResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as the API shows it; `url` is its page."""

    id: Id
    handle: str
    title: str
    raw_retention_days: int
    url: Url
    version: Version
    created_at: datetime
    updated_at: datetime


class LinkResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A link as the API shows it; `short_url` is there when it owns `/{slug}`, too, `github` when it is kept
    in step with a repository, `health` when its target has been checked. `warnings` are in the answers to
    changes: what is allowed, but may not be meant."""

    id: Id
    profile_id: Id
    slug: str
    target: str
    title: str
    status: int
    kind: str
    passthrough: bool
    click_id: bool
    short: bool
    url: Url
    short_url: Url | None
    version: Version
    created_at: datetime
    updated_at: datetime
    github: SyncResponse | msgspec.UnsetType = msgspec.UNSET
    health: LinkHealth | msgspec.UnsetType = msgspec.UNSET
    warnings: list[FieldReason] | msgspec.UnsetType = msgspec.UNSET

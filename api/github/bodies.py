"""Bodies of a link's synchronisation with GitHub."""

from datetime import datetime

import msgspec

from engine.github.repository import SyncState


class ReleaseResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's last release."""

    tag: str
    published_at: datetime | None


class SyncResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What GitHub says of a link's repository. Its fields are null until it has, and once the repository is
    gone; `renamed_to` is there when it has another name than the target. `reason` says why it failed or waits,
    `next_at` when it is tried again."""

    state: SyncState
    reason: str
    synced_at: datetime | None
    next_at: datetime | None
    stars: int | None = None
    forks: int | None = None
    language: str | None = None
    description: str | None = None
    topics: tuple[str, ...] | None = None
    last_release: ReleaseResponse | None = None
    licence: str | None = None
    avatar_url: str | None = None
    archived: bool | None = None
    renamed_to: str | None = None

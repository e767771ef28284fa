"""Bodies of a link's synchronisation with GitHub."""

from datetime import datetime

import msgspec

from engine.github.repository import SyncState


class ReleaseResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's last release."""

    tag: str
    published_at: datetime | None


class SyncResponse(msgspec.Struct, frozen=True, kw_only=True):
    """GitHub's facts of a link's repository. They are null until GitHub has answered, and again once the
    repository is gone; `renamed_to` is its name if the target has another one. `reason` says why the last
    synchronisation failed or waits, `next_at` when the next one runs."""

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
